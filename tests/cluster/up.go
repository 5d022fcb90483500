package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// plan is what a cluster is made of; it travels to the processes inside in an environment variable.
type plan struct {
	Dir           string
	Port, Nodes   int
	Images        []string
	Audit         bool
	NodeGrace     time.Duration
	EvictionAfter time.Duration
	// With nodes: the number that its link, network and cgroups are named by.
	Number int
}

const planVariable = "TRADEWIND_CLUSTER_PLAN"

func (p plan) environment() []string {
	text, err := json.Marshal(p)
	must(err)
	return append(os.Environ(), planVariable+"="+string(text))
}

func planFromEnvironment() (p plan) {
	must(json.Unmarshal([]byte(os.Getenv(planVariable)), &p))
	return p
}

func (p plan) path(name string) string { return filepath.Join(p.Dir, name) }

// up starts a cluster, prints KUBECONFIG=PATH when it is usable, and removes it on SIGINT or SIGTERM, when another
// process ends, or when a part of it dies. The components are not its children but those of "inside", which with nodes
// is process 1 of namespaces of its own: whatever ends this process, the kernel ends all of them.
func up() int {
	var p plan
	flag.StringVar(&p.Dir, "dir", "", "folder for data, certificates and logs; must not exist, is removed at the end (default: a temporary one)")
	flag.IntVar(&p.Port, "port", 0, "port of the API server, 0 for a free one")
	flag.IntVar(&p.Nodes, "nodes", 0, "nodes that run pods, at most 4 (needs root)")
	images := flag.String("images", "", "comma-separated image archives to load into the nodes")
	flag.BoolVar(&p.Audit, "audit", false, "write log/audit.log: a line for each answered request")
	flag.DurationVar(&p.NodeGrace, "node-grace", 0, "silence after which a node is NotReady (default: as Kubernetes)")
	flag.DurationVar(&p.EvictionAfter, "eviction-after", 0, "time after which pods are evicted from such a node (default: as Kubernetes)")
	keeper := flag.Int("while-pid", 0, "end when that process ends")
	remove := flag.String("remove", "", "a further file to remove at the end")
	flag.Parse()
	runtime.LockOSThread() // a child's Pdeathsig is tied to the thread that starts it
	p.Images = strings.FieldsFunc(*images, func(r rune) bool { return r == ',' })
	if p.Nodes < 0 || p.Nodes > 4 {
		must(fmt.Errorf("-nodes=%d: a cluster has up to 4 nodes", p.Nodes))
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	kept := watchProcess(*keeper)
	sweeper := startSweeper()
	p.makeDir(sweeper)

	child := exec.Command("/proc/self/exe", "inside")
	var cause string
	if err := p.start(child, sweeper); err != nil {
		cause = err.Error()
	} else {
		cause = p.watch(child, stop, kept, func() {
			if *remove != "" {
				sweeper.add("file", *remove)
			}
		})
	}
	sweeper.finish()
	if cause != "" {
		fmt.Fprintln(os.Stderr, "controlplane: the cluster has ended:", cause)
		return 1
	}
	return 0
}

// makeDir makes the cluster's folder, and holds a lock on a file in it by which others tell that it is in use.
func (p *plan) makeDir(s *sweeper) {
	if p.Dir == "" {
		dir, err := os.MkdirTemp("", "controlplane-")
		must(err)
		p.Dir = dir
	} else {
		dir, err := filepath.Abs(p.Dir)
		must(err)
		must(os.MkdirAll(filepath.Dir(dir), 0o755))
		must(os.Mkdir(dir, 0o755))
		p.Dir = dir
	}
	s.add("dir", p.Dir)
	must(os.MkdirAll(p.path("log"), 0o755))
	lock, err := unix.Open(p.path("up.lock"), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
	must(err)
	must(unix.Flock(lock, unix.LOCK_EX))
	must(os.WriteFile(p.path("pid"), fmt.Appendln(nil, os.Getpid()), 0o644))
}

// start starts the child, with nodes in namespaces of its own.
func (p *plan) start(child *exec.Cmd, s *sweeper) error {
	child.Stdout, child.Stderr = os.Stderr, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if p.Nodes > 0 {
		return p.enclose(child, s)
	}
	child.Env = p.environment()
	return child.Start()
}

// watch waits for the first reason to end, ends the child, and returns the reason if it is a failure.
func (p *plan) watch(child *exec.Cmd, stop <-chan os.Signal, kept <-chan struct{}, ready func()) string {
	began := time.Now()
	ended := make(chan struct{})
	go func() { child.Wait(); close(ended) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, err := os.Stat(p.path("ready")); err == nil {
				tick.Stop()
				ready()
				fmt.Fprintf(os.Stderr, "ready after %.2fs\n", time.Since(began).Seconds())
				fmt.Printf("KUBECONFIG=%s\n", p.path("admin.kubeconfig"))
			}
			continue
		case <-ended:
			return "a part of it failed, see above"
		case <-stop:
		case <-kept:
		}
		// In a namespace the kernel ends all of it with its process 1; without one it ends its children first.
		if p.Nodes > 0 {
			child.Process.Kill()
		} else {
			child.Process.Signal(syscall.SIGTERM)
		}
		<-ended
		return ""
	}
}

// watchProcess returns a channel that is closed when that process has ended, and never for 0.
func watchProcess(pid int) <-chan struct{} {
	gone := make(chan struct{})
	if pid == 0 {
		return gone
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		must(fmt.Errorf("-while-pid=%d: %w", pid, err))
	}
	go func() {
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if n > 0 || (err != nil && err != unix.EINTR) {
				close(gone)
				return
			}
		}
	}()
	return gone
}

// holdPort binds a port (0: any free one) without listening on it and keeps it for the life of this process.
// SO_REUSEPORT lets the component bind it as well, again and again when it is restarted, while no other process gets
// it as its "free" port; so clusters start side by side. A connection meanwhile is refused, as with a server that is
// down.
func holdPort(port int) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	must(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	must(unix.Bind(fd, &unix.SockaddrInet4{Port: port}))
	address, err := unix.Getsockname(fd)
	must(err)
	return address.(*unix.SockaddrInet4).Port
}
