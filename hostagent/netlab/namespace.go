//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace of our own. It lasts until Close, or until
// this process ends, unless it was pinned. Its methods may be called from any
// goroutine, but not after Close.
type Namespace struct {
	Name string // for messages only; the kernel knows no name

	handle netns.NsHandle
	nl     *netlink.Handle
	calls  chan func() // carried out by the keeper, see keep
	ended  chan struct{}
	close  sync.Once
}

// quiet are the settings every namespace starts with, because most of them
// are otherwise inherited from the machine: reverse path filters, which eat
// forged sources, and duplicate address detection, which delays IPv6 by a second.
var quiet = []struct{ key, value string }{
	{"net.ipv4.conf.all.rp_filter", "0"},
	{"net.ipv4.conf.default.rp_filter", "0"},
	{"net.ipv6.conf.all.disable_ipv6", "0"},
	{"net.ipv6.conf.default.disable_ipv6", "0"},
	{"net.ipv6.conf.default.accept_dad", "0"},
	{"net.ipv6.conf.default.accept_ra", "0"},
	{"net.ipv6.conf.default.router_solicitations", "0"},
}

// NewNamespace makes an empty network namespace with only the loopback
// interface, which is up. Without the right to make one (CAP_SYS_ADMIN) the
// error is fs.ErrPermission. The caller must Close it.
func NewNamespace(name string) (*Namespace, error) {
	ns := &Namespace{
		Name:   name,
		handle: netns.None(),
		calls:  make(chan func()),
		ended:  make(chan struct{}),
	}
	made := make(chan error)
	onOwnThread(func() { ns.keep(made) })
	if err := <-made; err != nil {
		return nil, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	if err := ns.prepare(); err != nil {
		ns.Close()
		return nil, fmt.Errorf("prepare network namespace %s: %w", name, err)
	}
	return ns, nil
}

// Close gives the namespace up: what Command started is killed, and the kernel
// removes interfaces, routes, firewall rules and sockets with the last user.
func (ns *Namespace) Close() error {
	ns.close.Do(func() {
		close(ns.calls)
		<-ns.ended
		if ns.nl != nil {
			ns.nl.Close()
		}
		ns.handle.Close()
	})
	return nil
}

// Do runs f in the namespace, on the calling goroutine, and returns its error.
// It nests. Programs f starts are inside too, but goroutines f starts are not:
// a goroutine is free to run on any thread.
func (ns *Namespace) Do(f func() error) (err error) {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return ns.wrap("leave for", err)
	}
	defer home.Close()
	if err := netns.Set(ns.handle); err != nil {
		runtime.UnlockOSThread()
		return ns.wrap("enter", err)
	}
	defer func() {
		if back := netns.Set(home); back != nil {
			// Still locked, so the runtime ends this thread with the goroutine
			// and nobody else finds himself in the wrong namespace.
			err = errors.Join(err, ns.wrap("return from", back))
			return
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

// Sysctl sets a kernel parameter of the namespace, named as in sysctl.conf:
// "net.ipv4.ip_forward".
func (ns *Namespace) Sysctl(key, value string) error {
	path := "/proc/sys/" + strings.ReplaceAll(key, ".", "/")
	return ns.Do(func() error {
		return os.WriteFile(path, []byte(value), 0)
	})
}

// Parameters returns every parameter below a folder such as /proc/sys/net that has
// a value, a line each, except for one that counts connections.
func (ns *Namespace) Parameters(folder string) (string, error) {
	var b strings.Builder
	err := ns.Do(func() error {
		return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || entry.Name() == "nf_conntrack_count" {
				return err
			}
			if value, err := os.ReadFile(path); err == nil { // some are to be written only
				fmt.Fprintf(&b, "%s: %s", path, value)
			}
			return nil
		})
	})
	return b.String(), err
}

// Pin gives the namespace its Name in /run/netns, where "ip netns exec" finds
// it. A pinned namespace outlives Close and this process; Unpin, or "ip netns
// delete", takes the name away again.
func (ns *Namespace) Pin() error {
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(ns.pin(), os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	f.Close()
	self := fmt.Sprintf("/proc/self/fd/%d", ns.handle)
	if err := unix.Mount(self, ns.pin(), "", unix.MS_BIND, ""); err != nil {
		return errors.Join(ns.wrap("pin", err), os.Remove(ns.pin()))
	}
	return nil
}

// Unpin undoes Pin.
func (ns *Namespace) Unpin() error {
	if err := netns.DeleteNamed(ns.Name); err != nil {
		return ns.wrap("unpin", err)
	}
	return nil
}

func (ns *Namespace) pin() string { return "/run/netns/" + ns.Name }

// keep is the life of the namespace's keeper: a thread that makes the
// namespace, lives in it and starts its programs. A program is told to die with
// the thread that started it (see Command), hence a thread that ends at Close.
func (ns *Namespace) keep(made chan<- error) {
	defer close(ns.ended)
	var err error
	if ns.handle, err = netns.New(); err != nil {
		made <- err
		return
	}
	made <- nil
	for call := range ns.calls {
		call()
	}
}

// onKeeper runs f on the keeper's thread and returns its error.
func (ns *Namespace) onKeeper(f func() error) error {
	result := make(chan error)
	ns.calls <- func() { result <- f() }
	return <-result
}

// prepare connects to the namespace's rtnetlink, sets its kernel parameters
// and brings its loopback interface up.
func (ns *Namespace) prepare() (err error) {
	if ns.nl, err = netlink.NewHandleAt(ns.handle, unix.NETLINK_ROUTE); err != nil {
		return err
	}
	for _, q := range quiet {
		err := ns.Sysctl(q.key, q.value)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
			return err
		}
	}
	return ns.up("lo")
}

// loopbackUp brings the loopback interface of the calling process up.
func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

func (ns *Namespace) wrap(verb string, err error) error {
	return fmt.Errorf("%s network namespace %s: %w", verb, ns.Name, err)
}

// onOwnThread starts a goroutine that runs f on a thread which ends with it.
// The main thread cannot end, so while that happens to be the one, it is held
// until another has been found.
func onOwnThread(f func()) {
	go func() {
		runtime.LockOSThread() // and never unlocked: this ends the thread
		if unix.Gettid() != os.Getpid() {
			f()
			return
		}
		started := make(chan struct{})
		onOwnThread(func() { close(started); f() })
		<-started
		runtime.UnlockOSThread()
	}()
}
