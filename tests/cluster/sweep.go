package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// sweeper is a process of its own that removes what a cluster leaves: it is told of each thing as it is made, and
// removes them all when the pipe by which it is told closes, which a kill -9 does as well.
type sweeper struct {
	process *exec.Cmd
	told    io.WriteCloser
}

func startSweeper() *sweeper {
	s := &sweeper{process: exec.Command("/proc/self/exe", "sweep")}
	s.process.Stderr = os.Stderr
	s.process.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // not ended with the group of the one it cleans up after
	var err error
	s.told, err = s.process.StdinPipe()
	must(err)
	must(s.process.Start())
	return s
}

// add tells of a "dir", "file", "link" or "cgroup".
func (s *sweeper) add(kind, name string) {
	_, err := fmt.Fprintf(s.told, "%s %s\n", kind, name)
	must(err)
}

// finish lets it remove everything and waits until it has.
func (s *sweeper) finish() {
	s.told.Close()
	s.process.Wait()
}

// sweep is the sweeper's process. Removing may take some tries: what uses a thing may still be dying.
func sweep() int {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	var things [][2]string
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if kind, name, ok := strings.Cut(lines.Text(), " "); ok {
			things = append(things, [2]string{kind, name})
		}
	}
	deadline := time.Now().Add(15 * time.Second)
	for len(things) > 0 {
		var left [][2]string
		for i := len(things) - 1; i >= 0; i-- {
			if err := removeThing(things[i][0], things[i][1]); err != nil {
				left = append([][2]string{things[i]}, left...)
				if time.Now().After(deadline) {
					fmt.Fprintf(os.Stderr, "controlplane: left behind: %s %s: %v\n", things[i][0], things[i][1], err)
				}
			}
		}
		if things = left; time.Now().After(deadline) {
			return 1
		}
		if len(things) > 0 {
			time.Sleep(20 * time.Millisecond)
		}
	}
	return 0
}

func removeThing(kind, name string) error {
	switch kind {
	case "dir":
		return os.RemoveAll(name)
	case "file":
		if err := os.Remove(name); !os.IsNotExist(err) {
			return err
		}
		return nil
	case "link":
		if link, err := netlink.LinkByName(name); err == nil {
			return netlink.LinkDel(link)
		}
		return nil
	case "cgroup":
		return removeCgroup(name)
	}
	return fmt.Errorf("unknown kind")
}

// removeCgroup kills what is left in a cgroup tree and removes it, deepest first.
func removeCgroup(dir string) error {
	var dirs []string
	filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	var failed error
	for i := len(dirs) - 1; i >= 0; i-- {
		text, _ := os.ReadFile(filepath.Join(dirs[i], "cgroup.procs"))
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if err := unix.Rmdir(dirs[i]); err != nil && err != unix.ENOENT {
			failed = err
		}
	}
	return failed
}

// cgroupRoots is the one cgroup v2 mount, or each cgroup v1 hierarchy.
func cgroupRoots() (dirs []string) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	must(err)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if strings.HasPrefix(fields[4], "/sys/fs/cgroup") && strings.Contains(line, " - cgroup") {
			dirs = append(dirs, fields[4])
		}
	}
	return dirs
}

// makeCgroup makes a cgroup in every hierarchy. In version 1 the sets of processors and memory start empty, and an
// empty set runs nothing.
func makeCgroup(name string) {
	for _, root := range cgroupRoots() {
		dir := filepath.Join(root, name)
		must(os.MkdirAll(dir, 0o755))
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if own, err := os.ReadFile(filepath.Join(dir, file)); err != nil || len(strings.TrimSpace(string(own))) > 0 {
				continue
			}
			if parents, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file)); err == nil {
				os.WriteFile(filepath.Join(dir, file), parents, 0o644)
			}
		}
	}
}
