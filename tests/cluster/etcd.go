package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
)

// etcdConfig is a single-member etcd on loopback. It is a file, not fields, because the fields' names differ between
// the releases of etcd that the supported releases of Kubernetes come with. Without fsync data is lost in a crash of
// the machine only. reuse-port: "up" holds the ports with the same option.
func etcdConfig(dir string, client, peer int) string {
	return fmt.Sprintf(`name: default
data-dir: %[1]q
listen-client-urls: http://127.0.0.1:%[2]d
advertise-client-urls: http://127.0.0.1:%[2]d
listen-peer-urls: http://127.0.0.1:%[3]d
initial-advertise-peer-urls: http://127.0.0.1:%[3]d
initial-cluster: default=http://127.0.0.1:%[3]d
unsafe-no-fsync: true
log-level: warn
log-outputs: [stderr]
socket-options: {reuse-port: true}
`, dir, client, peer)
}

// etcd runs the server of the configuration file that is its argument.
func etcd() int {
	cfg, err := embed.ConfigFromFile(os.Args[1])
	must(err)
	e, err := embed.StartEtcd(cfg)
	must(err)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	select {
	case <-stop:
		e.Close()
		return 0
	case err := <-e.Err():
		fmt.Fprintln(os.Stderr, "etcd:", err)
		return 1
	}
}
