package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The network of cluster number N, which no other sees:
//
//	10.201.N.0/24     one wire (a bridge): .1 the host, .2 the control plane, .10 node0, .11 node1 …
//	10.202.N.0/24     pods, a quarter to each node, routed by way of it; nothing is masqueraded
//	10.96.0.0/16      Services, known to the nodes only
//
// There is no default route anywhere inside: what a pod dials beyond these is unreachable.

func (p plan) address(last int) string { return fmt.Sprintf("10.201.%d.%d", p.Number, last) }

func (p plan) nodeAddress(node int) string { return p.address(10 + node) }

func (p plan) podNetwork() string { return fmt.Sprintf("10.202.%d.0/24", p.Number) }

func (p plan) nodePods(node int) string { return fmt.Sprintf("10.202.%d.%d/26", p.Number, 64*node) }

func (p plan) hostLink() string { return fmt.Sprintf("tradewind%d", p.Number) }

func (p plan) cgroup() string { return fmt.Sprintf("/tradewind%d", p.Number) }

func (p plan) nodeCgroup(node int) string { return fmt.Sprintf("%s/node%d", p.cgroup(), node) }

// enclose starts the child as process 1 of new network, mount and process namespaces, joined to the host by one link.
// When it ends, the kernel ends every process inside and drops mounts and devices; the cgroups are the sweeper's.
func (p *plan) enclose(child *exec.Cmd, s *sweeper) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("nodes need root")
	}
	link, err := p.claimNumber(s)
	if err != nil {
		return err
	}
	host, err := netlink.ParseAddr(p.address(1) + "/24")
	must(err)
	if err := netlink.AddrAdd(link, host); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	for i := range p.Nodes {
		if err := addRoute(link, p.nodePods(i), p.nodeAddress(i)); err != nil {
			return err
		}
	}
	for _, root := range cgroupRoots() {
		s.add("cgroup", filepath.Join(root, p.cgroup()))
	}
	makeCgroup(p.cgroup())
	must(os.WriteFile(p.path("host-address"), []byte(p.address(1)+"\n"), 0o644))

	child.Env = p.environment()
	child.SysProcAttr.Cloneflags = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID
	return startWithLink(child, link.PeerName)
}

// claimNumber takes the first free number by making the link named by it.
func (p *plan) claimNumber(s *sweeper) (*netlink.Veth, error) {
	for ; p.Number <= 250; p.Number++ {
		link := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: p.hostLink() + "p"}
		link.Name = p.hostLink()
		err := netlink.LinkAdd(link)
		if err == nil {
			s.add("link", link.Name)
			return link, nil
		}
		if !os.IsExist(err) {
			return nil, fmt.Errorf("network link: %w", err)
		}
	}
	return nil, fmt.Errorf("250 clusters are running: end some")
}

// startWithLink starts a process in a network namespace of its own, and gives it the link of that name before it goes
// on (see awaitLink).
func startWithLink(child *exec.Cmd, name string) error {
	read, write, err := os.Pipe()
	must(err)
	defer write.Close() // tells the child that its link is there
	child.ExtraFiles = []*os.File{read}
	if err := child.Start(); err != nil {
		return err
	}
	read.Close()
	peer, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetNsPid(peer, child.Process.Pid)
}

// awaitLink waits until startWithLink has given this process its link.
func awaitLink() {
	pipe := os.NewFile(3, "parent")
	pipe.Read(make([]byte, 1))
	pipe.Close()
}

func addRoute(link netlink.Link, to, via string) error {
	_, network, err := net.ParseCIDR(to)
	must(err)
	return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: network, Gw: net.ParseIP(via)})
}

// raise gives a link of this namespace an address (if any) and sets it up.
func raise(name, address string) netlink.Link {
	link, err := netlink.LinkByName(name)
	must(err)
	if address != "" {
		parsed, err := netlink.ParseAddr(address)
		must(err)
		must(netlink.AddrAdd(link, parsed))
	}
	must(netlink.LinkSetUp(link))
	return link
}

// privateMounts keeps what this process mounts from the namespace it came from, and shows it its own processes.
func privateMounts() {
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(unix.Mount("proc", "/proc", "proc", 0, ""))
}

// layWire makes the control plane's end of the cluster's network: the bridge with its own address.
func (p plan) layWire() {
	awaitLink()
	privateMounts()
	raise("lo", "")
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	bridge.Name = "wire"
	must(netlink.LinkAdd(bridge))
	wire := raise("wire", p.address(2)+"/24")
	must(netlink.LinkSetMaster(raise(p.hostLink()+"p", ""), wire))
	for i := range p.Nodes {
		must(addRoute(wire, p.nodePods(i), p.nodeAddress(i)))
	}
}

// startNode starts a node's process 1 in namespaces of its own, joined to the wire by a link named after it.
func (p plan) startNode(node int) (*exec.Cmd, error) {
	name := nodeName(node)
	if old, err := netlink.LinkByName(name); err == nil {
		netlink.LinkDel(old) // of a life before
	}
	wire, err := netlink.LinkByName("wire")
	if err != nil {
		return nil, err
	}
	link := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "eth0"}
	link.Name, link.MasterIndex = name, wire.Attrs().Index
	if err := netlink.LinkAdd(link); err != nil {
		return nil, err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, err
	}
	child := exec.Command("/proc/self/exe", "node", fmt.Sprint(node))
	child.Env = p.environment()
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true,
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS}
	log, err := os.OpenFile(p.path("log/"+name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	child.Stdout, child.Stderr = log, log
	return child, startWithLink(child, "eth0")
}

// plugNode sets a node's end of the wire up or down.
func plugNode(node int, in bool) error {
	link, err := netlink.LinkByName(nodeName(node))
	if err != nil {
		return err
	}
	if in {
		return netlink.LinkSetUp(link)
	}
	return netlink.LinkSetDown(link)
}

func nodeName(node int) string { return fmt.Sprintf("node%d", node) }
