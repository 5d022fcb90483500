package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority is a certificate authority that lives as long as one test cluster.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(dir string) *authority {
	a := &authority{dir: dir, key: newKey()}
	a.cert = &x509.Certificate{
		Subject: pkix.Name{CommonName: "test-ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	a.sign(a.cert, a.cert, &a.key.PublicKey)
	a.write("ca", a.cert, a.key)
	return a
}

// issue writes NAME.crt and NAME.key. It is a client certificate for user cn in
// groups; with hosts it is a serving certificate for them as well.
func (a *authority) issue(name, cn string, groups []string, hosts ...string) {
	c := &x509.Certificate{
		Subject:     pkix.Name{CommonName: cn, Organization: groups},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	k := newKey()
	a.sign(c, a.cert, &k.PublicKey)
	a.write(name, c, k)
}

// kubeconfig issues a client certificate and writes NAME.kubeconfig, which holds
// certificate, key and CA inline. It returns the file's path.
func (a *authority) kubeconfig(name, server, cn string, groups ...string) string {
	a.issue(name, cn, groups)
	b64 := func(f string) string {
		b, err := os.ReadFile(a.path(f))
		must(err)
		return base64.StdEncoding.EncodeToString(b)
	}
	p := a.path(name + ".kubeconfig")
	must(os.WriteFile(p, fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: %s}}]
clusters: [{name: test, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: %s, user: {client-certificate-data: %s, client-key-data: %s}}]
`, name, server, b64("ca.crt"), name, b64(name+".crt"), b64(name+".key")), 0o600))
	return p
}

func (a *authority) path(f string) string { return filepath.Join(a.dir, f) }

func (a *authority) sign(c, parent *x509.Certificate, pub *ecdsa.PublicKey) {
	c.SerialNumber, _ = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(72*time.Hour)
	var err error
	c.Raw, err = x509.CreateCertificate(rand.Reader, c, parent, pub, a.key)
	must(err)
}

func (a *authority) write(name string, c *x509.Certificate, k *ecdsa.PrivateKey) {
	writePEM(a.path(name+".crt"), "CERTIFICATE", c.Raw)
	writeKey(a.path(name+".key"), k)
}

func newKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return k
}

func writeKey(path string, k *ecdsa.PrivateKey) {
	b, err := x509.MarshalECPrivateKey(k)
	must(err)
	writePEM(path, "EC PRIVATE KEY", b)
}

func writePEM(path, typ string, b []byte) {
	must(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: b}), 0o600))
}
