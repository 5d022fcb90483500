package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// part is a component or a node, and its present life if it has one.
type part struct {
	name  string
	node  int // -1: a component
	start func() (*exec.Cmd, error)
	life  *life
	lives int
}

// maxLives is how often a component is started that gives up before the cluster is ready.
const maxLives = 10

// life is one process of a part. A life that nobody ended on purpose ends the cluster.
type life struct {
	part     *part
	process  *exec.Cmd
	expected bool
	paused   bool
	ended    chan struct{}
}

// supervisor starts the parts and holds their processes. All its state belongs to the goroutine of run, which is tied
// to one thread, because a child's Pdeathsig is tied to the thread that started it.
type supervisor struct {
	*controlPlane
	parts  []*part
	do     chan func()
	ended  chan *life
	client *clients

	loading sync.Mutex
	loaded  map[string]bool // images that nodes have, by node and archive
}

// inside is the process that the components and nodes are children of.
func inside() int {
	runtime.LockOSThread()
	p := planFromEnvironment()
	must(os.Chdir(p.Dir)) // the control socket's path is relative: an absolute one may be too long
	if p.Nodes > 0 {
		p.layWire()
	}
	s := &supervisor{controlPlane: newControlPlane(p), do: make(chan func()), ended: make(chan *life, 16),
		loaded: map[string]bool{}}
	s.client = newClients(s.path("admin.kubeconfig"))
	for _, name := range s.components() {
		s.parts = append(s.parts, &part{name: name, node: -1, start: func() (*exec.Cmd, error) {
			return s.command(name, s.arguments(name)...)
		}})
	}
	for i := range p.Nodes {
		s.parts = append(s.parts, &part{name: nodeName(i), node: i, start: func() (*exec.Cmd, error) {
			return s.startNode(i)
		}})
	}
	return s.run()
}

func (s *supervisor) run() int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	for _, part := range s.parts {
		must(s.begin(part))
	}
	listener, err := listen()
	must(err)
	go s.serve(listener)
	failed := make(chan error, 1)
	go func() {
		if err := s.prepare(); err != nil {
			failed <- err
		}
	}()
	for {
		select {
		case f := <-s.do:
			f()
		case l := <-s.ended:
			if !l.expected && s.gaveUpWaiting(l.part) {
				must(s.begin(l.part))
			} else if !l.expected {
				fmt.Fprintf(os.Stderr, "controlplane: %s ended: %v\n%s", l.part.name, l.process.ProcessState, s.tail(l.part.name))
				s.endAll()
				return 1
			}
		case err := <-failed:
			fmt.Fprintln(os.Stderr, "controlplane:", err)
			s.endAll()
			return 1
		case <-stop:
			s.endAll()
			return 0
		}
	}
}

// prepare makes the cluster usable and says so by the file "ready".
func (s *supervisor) prepare() error {
	began := time.Now()
	if err := s.client.awaitServer(); err != nil {
		return err
	}
	if err := s.client.provisionVolumes(s.path("volumes")); err != nil {
		return err
	}
	if err := s.client.awaitDefaults(); err != nil {
		return err
	}
	for i := range s.Nodes {
		if err := s.client.awaitNode(nodeName(i), began); err != nil {
			return fmt.Errorf("%w\n%s", err, s.tail(nodeName(i)))
		}
	}
	return os.WriteFile(s.path("ready"), nil, 0o644)
}

// gaveUpWaiting says that the part is one that waits some seconds for the API server when it starts, and then ends. On a
// machine that does much else those are too few.
func (s *supervisor) gaveUpWaiting(part *part) bool {
	waits := part.name == "kube-controller-manager" || part.name == "kube-scheduler"
	_, err := os.Stat("ready")
	return waits && err != nil && part.lives < maxLives
}

// begin starts a life of a part.
func (s *supervisor) begin(part *part) error {
	part.lives++
	process, err := part.start()
	if err != nil {
		return fmt.Errorf("%s: %w", part.name, err)
	}
	l := &life{part: part, process: process, ended: make(chan struct{})}
	part.life = l
	go func() {
		process.Wait()
		close(l.ended)
		s.ended <- l
	}()
	return nil
}

// endAll kills everything: nothing in a throw-away cluster needs a clean end.
func (s *supervisor) endAll() {
	for _, part := range s.parts {
		if part.life != nil {
			part.life.process.Process.Kill()
		}
	}
	for _, part := range s.parts {
		if part.life != nil {
			<-part.life.ended
		}
	}
}
