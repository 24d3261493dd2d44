//go:build linux

package netlab_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare/hostagent/netlab"
	"github.com/vishvananda/netlink"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }

func TestNamespacesAreIsolated(t *testing.T) {
	lab := netlab.New(t)
	a, b := lab.Namespace("a"), lab.Namespace("b")
	here, inA, inB := identity(t, nil), identity(t, a), identity(t, b)
	if here == inA || here == inB || inA == inB {
		t.Errorf("namespaces: here %s, a %s, b %s; want three", here, inA, inB)
	}
	if got := identity(t, nil); got != here {
		t.Errorf("after Do the thread is in %s, want %s", got, here)
	}
	ifaces := interfaces(t, a)
	if len(ifaces) != 1 || ifaces[0].Name != "lo" || ifaces[0].Flags&net.FlagUp == 0 {
		t.Errorf("a new namespace has %+v, want lo, up", ifaces)
	}
}

func TestDoNestsAndReturnsItsError(t *testing.T) {
	lab := netlab.New(t)
	a, b := lab.Namespace("a"), lab.Namespace("b")
	want := errors.New("the callback's")
	got := a.Do(func() error {
		outer := identity(t, nil)
		err := b.Do(func() error { return want })
		if back := identity(t, nil); back != outer {
			t.Errorf("after the inner Do: %s, want %s", back, outer)
		}
		return err
	})
	if !errors.Is(got, want) {
		t.Errorf("Do = %v, want %v", got, want)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	lab := netlab.New(t)
	before := len(interfaces(t, nil))
	topology := lab.Topology()
	ids := []string{identity(t, topology.Scanner), identity(t, topology.Cloud), identity(t, topology.Server)}
	if got := len(interfaces(t, nil)); got != before {
		t.Errorf("interfaces outside while the lab stands: %d, want %d", got, before)
	}
	if err := topology.Close(); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, func() string {
		for _, used := range identitiesInUse(t) {
			for _, id := range ids {
				if used == id {
					return "a thread or descriptor still holds " + id
				}
			}
		}
		return ""
	})
	if got := len(interfaces(t, nil)); got != before {
		t.Errorf("interfaces outside afterwards: %d, want %d", got, before)
	}
}

func TestCommand(t *testing.T) {
	lab := netlab.New(t)
	ns := lab.Namespace("a")
	out, err := ns.Command(t.Context(), "readlink", "/proc/self/ns/net").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(string(out)), identity(t, ns); got != want {
		t.Errorf("program ran in %s, want %s", got, want)
	}
	_, err = ns.Command(t.Context(), "sh", "-c", "echo no such thing >&2; exit 3").Output()
	if err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("Output of a failure = %v, want what it printed", err)
	}
}

func TestCommandDiesWithItsNamespace(t *testing.T) {
	netlab.New(t)
	ns, err := netlab.NewNamespace("short")
	if err != nil {
		t.Fatal(err)
	}
	cmd := ns.Command(t.Context(), "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ns.Close()
	if err := cmd.Wait(); err == nil || cmd.ProcessState.String() != "signal: killed" {
		t.Errorf("program ended by %v (%v), want signal: killed", cmd.ProcessState, err)
	}
}

// A program must not die with the thread of whoever started it: a goroutine
// that ends while locked takes its thread along.
func TestCommandOutlivesTheThreadThatStartedIt(t *testing.T) {
	lab := netlab.New(t)
	cmd := lab.Namespace("a").Command(t.Context(), "cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	started, task := make(chan error, 1), ""
	go func() {
		runtime.LockOSThread()
		task, _ = os.Readlink("/proc/thread-self")
		started <- cmd.Start()
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if filepath.Base(task) != filepath.Base(filepath.Dir(filepath.Dir(task))) { // the main thread stays
		within(t, 5*time.Second, func() string {
			if _, err := os.Stat(filepath.Join("/proc", task)); err == nil {
				return "thread " + task + " lives on"
			}
			return ""
		})
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("cat ended by %v, want by the end of its input", err)
	}
}

func TestPin(t *testing.T) {
	lab := netlab.New(t)
	ns := lab.Namespace("netlab-pinned")
	want := identity(t, ns)
	if err := ns.Pin(); err != nil {
		t.Fatal(err)
	}
	var st1, st2 os.FileInfo
	st1, err := os.Stat("/run/netns/netlab-pinned")
	if err != nil {
		t.Fatal(err)
	}
	err = ns.Do(func() (err error) {
		st2, err = os.Stat("/proc/thread-self/ns/net")
		return err
	})
	if err != nil || !os.SameFile(st1, st2) {
		t.Errorf("the pin is another namespace than %s (%v)", want, err)
	}
	if err := ns.Unpin(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/run/netns/netlab-pinned"); !os.IsNotExist(err) {
		t.Errorf("after Unpin: %v, want no such file", err)
	}
}

func TestTopologyRoutes(t *testing.T) {
	topology := netlab.New(t).Topology()
	tests := []struct{ name, from, to string }{
		{"IPv4 default source", "", "203.0.113.10:22"},
		{"IPv4 any source", "198.51.100.77", "203.0.113.10:23"},
		{"IPv6 default source", "", "[2001:db8:cb::10]:24"},
		{"IPv6 any source", "2001:db8:51:9::77", "[2001:db8:cb::10]:25"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := topology.Server.Listen("tcp", tt.to)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			peer := make(chan string, 1)
			go greet(l, peer)
			conn, err := topology.Scanner.Dial(t.Context(), "tcp", tt.from, tt.to)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if got, err := io.ReadAll(conn); string(got) != "hello" {
				t.Errorf("read %q (%v), want hello", got, err)
			}
			want := tt.from
			if want == "" && strings.HasPrefix(tt.to, "[") {
				want = netlab.ScannerAddr6.String()
			} else if want == "" {
				want = netlab.ScannerAddr4.String()
			}
			if got := <-peer; got != want {
				t.Errorf("server saw %s, want %s", got, want)
			}
		})
	}
}

func TestDialRefusesNames(t *testing.T) {
	ns := netlab.New(t).Namespace("a")
	if _, err := ns.Dial(t.Context(), "tcp", "", "localhost:80"); err == nil {
		t.Error("Dial looked up a name, want an error")
	}
}

// greet accepts one connection, says hello and tells who it was.
func greet(l net.Listener, peer chan<- string) {
	conn, err := l.Accept()
	if err != nil {
		peer <- err.Error()
		return
	}
	defer conn.Close()
	io.WriteString(conn, "hello")
	peer <- netip.MustParseAddrPort(conn.RemoteAddr().String()).Addr().String()
}

// identity is the kernel's name of a namespace, nil meaning the thread's own.
func identity(t *testing.T, ns *netlab.Namespace) (id string) {
	t.Helper()
	read := func() (err error) {
		id, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	}
	err := read()
	if ns != nil {
		err = ns.Do(read)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// identitiesInUse are the namespaces of this process's threads and descriptors.
func identitiesInUse(t *testing.T) (ids []string) {
	t.Helper()
	threads, _ := filepath.Glob("/proc/self/task/*/ns/net")
	descriptors, _ := filepath.Glob("/proc/self/fd/*")
	for _, path := range append(threads, descriptors...) {
		if id, err := os.Readlink(path); err == nil { // a thread may have ended
			ids = append(ids, id)
		}
	}
	return ids
}

func interfaces(t *testing.T, ns *netlab.Namespace) (attrs []netlink.LinkAttrs) {
	t.Helper()
	list := func() error {
		links, err := netlink.LinkList()
		for _, link := range links {
			attrs = append(attrs, *link.Attrs())
		}
		return err
	}
	err := error(nil)
	if ns == nil {
		err = list()
	} else {
		err = ns.Do(list)
	}
	if err != nil {
		t.Fatal(err)
	}
	return attrs
}

// within asks until the answer is empty, and fails with the last one.
func within(t *testing.T, limit time.Duration, complaint func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		last := complaint()
		if last == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(last)
		case <-time.After(time.Millisecond):
		}
	}
}
