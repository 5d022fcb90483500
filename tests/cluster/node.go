package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	containerdSocket = "/run/containerd/containerd.sock"
	sandboxImage     = "localhost/pause:test"
)

// node is process 1 of a node's namespaces: containerd, kubelet and kube-proxy are its children. It ends when one of
// them does, and all end with it.
func node() int {
	runtime.LockOSThread()
	p := planFromEnvironment()
	number, err := strconv.Atoi(os.Args[1])
	must(err)
	awaitLink()
	privateMounts()
	must(unix.Sethostname([]byte(nodeName(number))))
	p.privateFolders(number)
	p.network(number)
	makeCgroup(p.nodeCgroup(number))
	for _, variable := range runtimeEnvironment() {
		name, value, _ := strings.Cut(variable, "=")
		must(os.Setenv(name, value))
	}

	ended := make(chan string, 3)
	started := map[int]bool{}
	start := func(name string, process *exec.Cmd, err error) {
		must(err)
		started[process.Process.Pid] = true
		go func() {
			process.Wait()
			ended <- fmt.Sprintf("%s: %v\n%s", name, process.ProcessState, p.tail(name))
		}()
	}
	home := nodeName(number) + "-"
	process, err := p.program(home+"containerd", lookUp("containerd"), "--config="+p.containerdConfig(number))
	start(home+"containerd", process, err)
	p.loadImages()
	process, err = p.program(home+"kubelet", "/proc/self/exe", "kubelet", "--node-ip="+p.nodeAddress(number),
		"--hostname-override="+nodeName(number), "--kubeconfig="+p.path(home+"kubelet.kubeconfig"),
		"--config="+p.kubeletConfig(number))
	start(home+"kubelet", process, err)
	process, err = p.program(home+"proxy", "/proc/self/exe", "kube-proxy", "--proxy-mode=nftables",
		"--hostname-override="+nodeName(number), "--cluster-cidr="+p.podNetwork(),
		"--kubeconfig="+p.path(home+"proxy.kubeconfig"),
		"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0")
	start(home+"proxy", process, err)

	orphans := make(chan os.Signal, 64)
	signal.Notify(orphans, syscall.SIGCHLD)
	for {
		select {
		case <-orphans:
			reap(started)
		case what := <-ended:
			fmt.Fprintln(os.Stderr, "ended:", what)
			return 1
		}
	}
}

// reap takes the exit status of adopted processes (the shims of ended pods), and leaves those that another goroutine
// waits for.
func reap(own map[int]bool) {
	for _, process := range processes() {
		if process.parent == 1 && process.state == "Z" && !own[process.pid] {
			syscall.Wait4(process.pid, nil, syscall.WNOHANG, nil)
		}
	}
}

// network makes the node's end of the wire: its address, the ways to other nodes' pods and to the control plane.
func (p plan) network(number int) {
	raise("lo", "")
	eth := raise("eth0", p.nodeAddress(number)+"/24")
	for other := range p.Nodes {
		if other != number {
			must(addRoute(eth, p.nodePods(other), p.nodeAddress(other)))
		}
	}
	// What the node itself sends to a Service needs some route before kube-proxy's rules redirect it.
	_, services, err := net.ParseCIDR(serviceNetwork)
	must(err)
	must(netlink.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Dst: services, Scope: netlink.SCOPE_LINK}))
	must(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644))
}

func (p plan) loadImages() {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if connection, err := net.Dial("unix", containerdSocket); err == nil {
			connection.Close()
			break
		} else if time.Now().After(deadline) {
			must(fmt.Errorf("containerd does not answer: %w", err))
		}
	}
	for _, image := range append([]string{filepath.Join(programs(), "images/pause.tar"), filepath.Join(programs(), "images/idle.tar")}, p.Images...) {
		must(importImage(containerdSocket, image))
	}
}

func (p plan) containerdConfig(number int) string {
	home := nodeName(number) + "/"
	must(os.MkdirAll(p.path(home+"cni"), 0o755))
	p.write(home+"cni/10-pods.conflist", fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp",
  "ipam": {"type": "host-local", "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
`, p.nodePods(number)))
	// Version 2 is read by containerd 1.6 to 2.x.
	return p.write(home+"containerd.toml", fmt.Sprintf(`version = 2
root = %q
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = %q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = %q
  conf_dir = %q
`, p.path(home+"containerd"), containerdSocket, sandboxImage, cniPlugins(), p.path(home+"cni")))
}

func (p plan) kubeletConfig(number int) string {
	home := nodeName(number)
	lease := ""
	if p.NodeGrace > 0 {
		// Renewed at a quarter of it: several times within the grace period, or a busy machine looks like a dead node.
		lease = fmt.Sprintf("nodeLeaseDurationSeconds: %d\n", max(2, int(p.NodeGrace.Seconds())/2))
	}
	return p.write(home+"/kubelet.yaml", fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: %s
failSwapOn: false
oomScoreAdj: 0
maxPods: 60
containerRuntimeEndpoint: unix://%s
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %q}}
authorization: {mode: Webhook}
tlsCertFile: %q
tlsPrivateKeyFile: %q
clusterDomain: cluster.local
# There is no such server; naming one is what every cluster does, and saves pods a warning.
clusterDNS: [10.96.0.10]
resolvConf: %q
# The machine's own disk and memory are none of a test's business.
evictionHard: {memory.available: "0%%", nodefs.available: "0%%", nodefs.inodesFree: "0%%", imagefs.available: "0%%", imagefs.inodesFree: "0%%"}
imageGCHighThresholdPercent: 100
%s`, p.nodeCgroup(number), containerdSocket, p.path("ca.crt"), p.path(home+"-serving.crt"), p.path(home+"-serving.key"),
		p.write(home+"/resolv.conf", ""), lease))
}

// programs is the folder of this binary, where the runtime and the images are as well.
func programs() string {
	self, err := os.Readlink("/proc/self/exe")
	must(err)
	return filepath.Dir(self)
}

// runtimeEnvironment finds the container runtime beside this binary before any of the machine's own.
func runtimeEnvironment() []string {
	root := filepath.Join(programs(), "runtime")
	path := []string{root + "/usr/bin", root + "/usr/sbin", os.Getenv("PATH"), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	variables := []string{"PATH=" + strings.Join(path, ":")}
	if libraries, _ := filepath.Glob(root + "/usr/lib/*-linux-gnu"); len(libraries) > 0 {
		variables = append(variables, "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	}
	return variables
}

// lookUp is the place of a program of the container runtime, or empty.
func lookUp(program string) string {
	path, _ := strings.CutPrefix(runtimeEnvironment()[0], "PATH=")
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, program)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}

func cniPlugins() string {
	for _, dir := range []string{filepath.Join(programs(), "runtime/usr/lib/cni"), "/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"} {
		if _, err := os.Stat(filepath.Join(dir, "ptp")); err == nil {
			return dir
		}
	}
	return ""
}
