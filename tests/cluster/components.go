package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

const (
	serviceNetwork = "10.96.0.0/16"
	serviceAddress = "10.96.0.1" // the Service "kubernetes"
)

// auditPolicy has one line for each request that was answered, and one when a watch begins.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
`

// controlPlane knows how each component is started. Certificates, ports and files stay what they are when one is
// started again.
type controlPlane struct {
	plan
	host       string
	ca         *authority
	etcdClient int
}

func newControlPlane(p plan) *controlPlane {
	c := &controlPlane{plan: p, host: "127.0.0.1", ca: newAuthority(p.Dir)}
	if p.Nodes > 0 {
		c.host = p.address(2)
	}
	c.Port = holdPort(p.Port)
	c.etcdClient = holdPort(0)
	c.write("etcd.yaml", etcdConfig(p.path("etcd"), c.etcdClient, holdPort(0)))
	c.write("audit-policy.yaml", auditPolicy)
	c.ca.issue("apiserver", "kube-apiserver", []string{"system:masters"}, "127.0.0.1", "localhost", c.host,
		serviceAddress, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
	c.ca.kubeconfig("admin", c.url(), "admin", "system:masters")
	c.ca.kubeconfig("controller-manager", c.url(), "system:kube-controller-manager")
	c.ca.kubeconfig("scheduler", c.url(), "system:kube-scheduler")
	for i := range p.Nodes {
		c.ca.kubeconfig(nodeName(i)+"-kubelet", c.url(), "system:node:"+nodeName(i), "system:nodes")
		c.ca.issue(nodeName(i)+"-serving", nodeName(i), nil, nodeName(i), p.nodeAddress(i))
		c.ca.kubeconfig(nodeName(i)+"-proxy", c.url(), "system:kube-proxy")
	}
	writeKey(p.path("service-account.key"), newKey())
	c.write("url", c.url())
	return c
}

func (c *controlPlane) url() string { return fmt.Sprintf("https://%s:%d", c.host, c.Port) }

func (p plan) write(name, text string) string {
	must(os.WriteFile(p.path(name), []byte(text), 0o644))
	return p.path(name)
}

// components lists what runs, in the order in which it is started.
func (c *controlPlane) components() []string {
	names := []string{"etcd", "kube-apiserver", "kube-controller-manager"}
	if c.Nodes > 0 {
		names = append(names, "kube-scheduler")
	}
	return names
}

func (c *controlPlane) arguments(component string) []string {
	switch component {
	case "etcd":
		return []string{c.path("etcd.yaml")}
	case "kube-apiserver":
		return c.apiServer()
	case "kube-controller-manager":
		return c.controllers()
	default:
		return []string{"--kubeconfig=" + c.path("scheduler.kubeconfig"), "--leader-elect=false", "--secure-port=0"}
	}
}

func (c *controlPlane) apiServer() []string {
	a := []string{
		fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", c.etcdClient),
		"--bind-address=" + c.host, "--advertise-address=" + c.host,
		fmt.Sprintf("--secure-port=%d", c.Port), "--permit-port-sharing",
		"--service-cluster-ip-range=" + serviceNetwork,
		"--tls-cert-file=" + c.path("apiserver.crt"), "--tls-private-key-file=" + c.path("apiserver.key"),
		"--client-ca-file=" + c.path("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.path("service-account.key"),
		"--service-account-signing-key-file=" + c.path("service-account.key"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
	}
	if c.Nodes > 0 {
		a = append(a, "--allow-privileged", "--kubelet-certificate-authority="+c.path("ca.crt"),
			"--kubelet-client-certificate="+c.path("admin.crt"), "--kubelet-client-key="+c.path("admin.key"),
			"--kubelet-preferred-address-types=InternalIP",
			// Webhooks of a Service are called at its pods: only nodes know the Service's own address.
			"--enable-aggregator-routing")
	} else {
		// A loopback address is not valid in the EndpointSlice of Service "kubernetes".
		a = append(a, "--endpoint-reconciler-type=none")
	}
	if c.EvictionAfter > 0 {
		seconds := int(c.EvictionAfter.Seconds())
		a = append(a, fmt.Sprintf("--default-not-ready-toleration-seconds=%d", seconds),
			fmt.Sprintf("--default-unreachable-toleration-seconds=%d", seconds))
	}
	if c.Audit {
		a = append(a, "--audit-policy-file="+c.path("audit-policy.yaml"), "--audit-log-path="+c.path("log/audit.log"),
			"--audit-log-mode=blocking")
	}
	return a
}

func (c *controlPlane) controllers() []string {
	a := []string{
		"--kubeconfig=" + c.path("controller-manager.kubeconfig"),
		"--leader-elect=false", "--secure-port=0", "--use-service-account-credentials",
		"--kube-api-qps=500", "--kube-api-burst=1000", // the default of 20 makes the start take seconds
		"--root-ca-file=" + c.path("ca.crt"),
		"--service-account-private-key-file=" + c.path("service-account.key"),
		"--cluster-signing-cert-file=" + c.path("ca.crt"), "--cluster-signing-key-file=" + c.path("ca.key"),
	}
	if c.NodeGrace > 0 {
		a = append(a, "--node-monitor-grace-period="+c.NodeGrace.String(), "--node-monitor-period=1s", "--node-eviction-rate=10")
	}
	return a
}

// command is this same binary as a component; its output goes to log/NAME.log.
func (p plan) command(name string, arguments ...string) (*exec.Cmd, error) {
	return p.program(name, "/proc/self/exe", append([]string{name}, arguments...)...)
}

func (p plan) program(name, program string, arguments ...string) (*exec.Cmd, error) {
	log, err := os.OpenFile(p.path("log/"+name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	child := exec.Command(program, arguments...)
	child.Stdout, child.Stderr = log, log
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return child, child.Start()
}

// tail is the end of a component's log.
func (p plan) tail(name string) string {
	text, _ := os.ReadFile(p.path("log/" + name + ".log"))
	lines := strings.SplitAfter(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "")
}
