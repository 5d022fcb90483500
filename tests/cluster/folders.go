package main

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// privateFolders gives a node its own of the folders whose paths are wired into kubelet, the shim and CNI, and leaves
// the machine's file system as it is: nothing is made there, not even an empty folder.
func (p plan) privateFolders(number int) {
	own := p.path(nodeName(number))
	must(os.MkdirAll(own, 0o755))
	must(unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"))
	shadow("/var/lib", own, "kubelet", "cni")
	shadow("/var/log", own, "pods", "containers")

	// Kubelet sets these for the whole machine, and no namespace hides them: show it what it wants to see.
	for file, value := range map[string]string{
		"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
		"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
	} {
		shown := filepath.Join(own, "sysctl", file)
		must(os.MkdirAll(filepath.Dir(shown), 0o755))
		must(os.WriteFile(shown, []byte(value+"\n"), 0o644))
		must(unix.Mount(shown, filepath.Join("/proc/sys", file), "", unix.MS_BIND, ""))
	}
}

// shadow puts a folder in place of that one which shows the same entries, but for the named ones: those are folders
// below own, made when they are missing.
func shadow(folder, own string, names ...string) {
	stage := filepath.Join(own, "shadow")
	must(os.MkdirAll(stage, 0o755))
	must(unix.Mount("tmpfs", stage, "tmpfs", 0, "mode=755"))
	private := map[string]bool{}
	for _, name := range names {
		private[name] = true
		source, target := filepath.Join(own, name), filepath.Join(stage, name)
		must(os.MkdirAll(source, 0o755))
		must(os.Mkdir(target, 0o755))
		must(unix.Mount(source, target, "", unix.MS_BIND, ""))
		must(unix.Mount("", target, "", unix.MS_REC|unix.MS_SHARED, "")) // mounts in it are to reach into pods
	}
	entries, err := os.ReadDir(folder)
	must(err)
	for _, entry := range entries {
		source, target := filepath.Join(folder, entry.Name()), filepath.Join(stage, entry.Name())
		switch {
		case private[entry.Name()]:
		case entry.IsDir():
			must(os.Mkdir(target, 0o755))
			must(unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""))
		case entry.Type()&os.ModeSymlink != 0:
			to, err := os.Readlink(source)
			must(err)
			must(os.Symlink(to, target))
		case entry.Type().IsRegular():
			must(os.WriteFile(target, nil, 0o644))
			must(unix.Mount(source, target, "", unix.MS_BIND, ""))
		}
	}
	must(unix.Mount(stage, folder, "", unix.MS_MOVE, ""))
}
