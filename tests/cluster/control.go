package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const controlSocket = "control.sock"

// order is one wish of a test: a verb and what it is about.
type order struct {
	Verb, About string
}

// ctl sends an order to a running cluster and waits until it is carried out.
//
//	controlplane ctl --dir DIR stop|kill|pause|start COMPONENT     etcd, kube-apiserver …
//	controlplane ctl --dir DIR kill|pause|start|cut|rejoin node0
//	controlplane ctl --dir DIR load IMAGE.tar
func ctl() int {
	dir := flag.String("dir", "", "the cluster's folder")
	flag.Parse()
	if flag.NArg() != 2 || *dir == "" {
		fmt.Fprintln(os.Stderr, "usage: controlplane ctl --dir DIR {stop|kill|pause|start|cut|rejoin|load} WHAT")
		return 2
	}
	o := order{flag.Arg(0), flag.Arg(1)}
	if o.Verb == "load" {
		var err error
		o.About, err = filepath.Abs(o.About)
		must(err)
	}
	must(os.Chdir(*dir))
	connection, err := net.Dial("unix", controlSocket)
	must(err)
	must(json.NewEncoder(connection).Encode(o))
	answer, err := bufio.NewReader(connection).ReadString(0)
	if answer, done := strings.CutSuffix(answer, "\x00"); !done || answer != "" {
		fmt.Fprintln(os.Stderr, "controlplane:", o.Verb, o.About+":", answer, err)
		return 1
	}
	return 0
}

func listen() (net.Listener, error) { return net.Listen("unix", controlSocket) }

// serve carries out orders; each connection brings one. The answer is a message, empty when all is well, and a zero.
func (s *supervisor) serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		must(err)
		go func() {
			defer connection.Close()
			var o order
			err := json.NewDecoder(connection).Decode(&o)
			if err == nil {
				err = s.obey(o)
			}
			if err != nil {
				fmt.Fprint(connection, err)
			}
			connection.Write([]byte{0})
		}()
	}
}

// now runs f on the supervisor's own goroutine.
func (s *supervisor) now(f func() error) error {
	result := make(chan error)
	s.do <- func() { result <- f() }
	return <-result
}

func (s *supervisor) obey(o order) error {
	if o.Verb == "load" {
		return s.load(o.About)
	}
	for _, part := range s.parts {
		if part.name == o.About {
			return s.obeyPart(o.Verb, part)
		}
	}
	return fmt.Errorf("no such component or node")
}

func (s *supervisor) obeyPart(verb string, part *part) error {
	switch verb {
	case "stop":
		return s.end(part, syscall.SIGTERM)
	case "kill":
		return s.end(part, syscall.SIGKILL)
	case "pause":
		return s.now(func() error { return part.life.signal(syscall.SIGSTOP) })
	case "start":
		return s.resume(part)
	case "cut", "rejoin":
		if part.node >= 0 {
			return plugNode(part.node, verb == "rejoin")
		}
	}
	return fmt.Errorf("%s cannot do that", part.name)
}

// end ends the present life of a part, if it has one; what does not end in time when asked is killed.
func (s *supervisor) end(part *part, signal syscall.Signal) error {
	var l *life
	err := s.now(func() error {
		l, part.life = part.life, nil
		if l == nil {
			return nil
		}
		l.expected = true
		if part.node >= 0 {
			signal = syscall.SIGKILL // of the first process of a namespace: the kernel ends all others
		}
		return l.process.Process.Signal(signal)
	})
	if l == nil || err != nil {
		return err
	}
	select {
	case <-l.ended:
	case <-time.After(2 * time.Second): // the API server waits a minute for watches that nobody ends
		l.process.Process.Kill()
		<-l.ended
	}
	return nil
}

// resume starts a part that has no life, or wakes one that is paused, and waits until it is of use again.
func (s *supervisor) resume(part *part) error {
	began := time.Now()
	err := s.now(func() error {
		if part.life != nil {
			return part.life.signal(syscall.SIGCONT)
		}
		return s.begin(part)
	})
	switch {
	case err != nil:
		return err
	case part.node >= 0:
		return s.client.awaitNode(part.name, began)
	default:
		return s.client.awaitServer()
	}
}

// signal reaches a component's process, and every process of a node, those of its containers as well.
func (l *life) signal(signal syscall.Signal) error {
	if l == nil {
		return fmt.Errorf("it is not running")
	}
	if l.part.node < 0 {
		return l.process.Process.Signal(signal)
	}
	// Again until nothing new is found: what was not stopped yet may have started more.
	done := map[int]bool{}
	for found := true; found; {
		found = false
		for _, pid := range descendants(l.process.Process.Pid) {
			if !done[pid] {
				done[pid], found = true, true
				syscall.Kill(pid, signal)
			}
		}
	}
	return nil
}

// descendants is a process and all that it started, directly or not. Orphans are adopted by their namespace's first
// process, so none is missed.
func descendants(root int) []int {
	children := map[int][]int{}
	for _, process := range processes() {
		children[process.parent] = append(children[process.parent], process.pid)
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// processInfo is what /proc says of a process of this namespace or one below.
type processInfo struct {
	pid, parent int
	state       string
}

func processes() (all []processInfo) {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		// The name, in parentheses, may hold anything; state and parent follow it.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			all = append(all, processInfo{pid, parent, fields[0]})
		}
	}
	return all
}

// load brings an image archive into every node that runs, and does so once: many tests bring the same ones.
func (s *supervisor) load(archive string) error {
	info, err := os.Stat(archive)
	if err != nil {
		return err
	}
	s.loading.Lock()
	defer s.loading.Unlock()
	var nodes []*life
	s.now(func() error {
		for _, part := range s.parts {
			if part.node >= 0 && part.life != nil {
				nodes = append(nodes, part.life)
			}
		}
		return nil
	})
	if len(nodes) == 0 {
		return fmt.Errorf("no node runs")
	}
	for _, l := range nodes {
		// A node keeps its images from one life to the next.
		key := fmt.Sprint(l.part.name, archive, info.Size(), info.ModTime().UnixNano())
		if s.loaded[key] {
			continue
		}
		socket := fmt.Sprintf("/proc/%d/root%s", l.process.Process.Pid, containerdSocket)
		if err := importImage(socket, archive); err != nil {
			return err
		}
		s.loaded[key] = true
	}
	return nil
}

// importImage brings an archive into the containerd of that socket.
func importImage(socket, archive string) error {
	command := exec.Command(lookUp("ctr"), "--address", socket, "--namespace", "k8s.io", "images", "import", archive)
	command.Env = runtimeEnvironment()
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", archive, err, output)
	}
	return nil
}
