package nftables

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
)

func TestInvalid(t *testing.T) {
	b := New(Options{})
	wide := netip.MustParsePrefix("198.51.100.0/24")
	if err := b.Ban(t.Context(), wide, time.Now().Add(time.Hour)); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("ban of a /24: %v, want invalid", err)
	}
	order := sample(t)
	order.Bans = []portsnare.Ban{{Source: wide}}
	if _, err := b.Set(t.Context(), order); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("order with a ban of a /24: %v, want invalid", err)
	}
	order = sample(t)
	order.Friends = []portsnare.Friend{{Source: wide, Port: tcp(22)}}
	if _, err := b.Set(t.Context(), order); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("order with a friend that is a /24: %v, want invalid", err)
	}
	order.Friends[0] = portsnare.Friend{
		Source: netip.MustParsePrefix("198.51.100.7/32"), Port: portsnare.Port{Protocol: portsnare.UDP, Number: 53},
	}
	if _, err := b.Set(t.Context(), order); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("order with a friend by UDP: %v, want invalid", err)
	}
	order = sample(t)
	order.Policy.Strikes = 9
	if _, err := b.Set(t.Context(), order); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("order with 9 strikes: %v, want invalid", err)
	}
}

func TestMissingPrograms(t *testing.T) {
	tests := []struct {
		have []string
		hint string
	}{
		{nil, "apt-get install nftables"},
		{[]string{"iptables", "ipset"}, "apt-get install nftables"},
	}
	w := newWorld(t, ipv4, Options{})
	before := w.snapshot()
	order := w.order("1001/tcp", "")
	for _, test := range tests {
		w.withPath(test.have, func() {
			for name, err := range w.refusals(order) {
				if !errors.Is(err, portsnare.Unavailable) || portsnare.HintOf(err) != test.hint {
					t.Errorf("%s with %v: %v (%s), want unavailable and hint %q", name, test.have, err, portsnare.HintOf(err), test.hint)
				}
			}
		})
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("changed (-before +after):\n%s", diff)
	}
}

// withPath runs f with only the programs given in the PATH.
func (w *world) withPath(programs []string, f func()) {
	w.t.Helper()
	dir := w.t.(*testing.T).TempDir()
	for _, name := range programs {
		path, err := exec.LookPath(name)
		w.check(err)
		w.check(os.Symlink(path, filepath.Join(dir, name)))
	}
	old := os.Getenv("PATH")
	os.Setenv("PATH", dir)
	defer os.Setenv("PATH", old)
	f()
}

// refusals calls every method of the backend and returns the errors.
func (w *world) refusals(order portsnare.Order) map[string]error {
	ctx := w.t.Context()
	errs := map[string]error{}
	w.check(w.Server.Do(func() error {
		_, errs["Set"] = w.b.Set(ctx, order)
		_, errs["Bans"] = w.b.Bans(ctx)
		errs["Ban"] = w.b.Ban(ctx, netip.MustParsePrefix("198.51.100.7/32"), time.Now().Add(time.Hour))
		_, errs["Friends"] = w.b.Friends(ctx)
		_, errs["Dropped"] = w.b.Dropped(ctx)
		errs["Check"] = w.b.Check(ctx)
		errs["Flush"] = w.b.Flush(ctx)
		return nil
	}))
	return errs
}

func TestMissingPrivilege(t *testing.T) {
	w := newWorld(t, ipv4, Options{})
	before := w.snapshot()
	done := make(chan map[string]error)
	go func() {
		runtime.LockOSThread() // and never unlocked: this thread has nothing more to say
		if err := dropNetAdmin(); err != nil {
			t.Error(err)
		}
		done <- w.refusals(w.order("1001/tcp", ""))
	}()
	for name, err := range <-done {
		if !errors.Is(err, portsnare.Denied) || !strings.Contains(portsnare.HintOf(err), "CAP_NET_ADMIN") {
			t.Errorf("%s: %v (%s), want denied and a hint", name, err, portsnare.HintOf(err))
		}
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("changed (-before +after):\n%s", diff)
	}
}

// dropNetAdmin takes CAP_NET_ADMIN from this thread and what it starts.
func dropNetAdmin() error {
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_NET_ADMIN, 0, 0, 0); err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	data[0].Permitted &^= 1 << unix.CAP_NET_ADMIN
	data[0].Inheritable &^= 1 << unix.CAP_NET_ADMIN
	return unix.Capset(&header, &data[0])
}

// lacking is a runner whose kernel refuses some text.
type lacking struct {
	runner
	at string // first argument of the call that fails
}

func (l lacking) nft(ctx context.Context, input string, args ...string) (string, error) {
	if args[0] != l.at {
		return l.runner.nft(ctx, input, args...)
	}
	return l.runner.nft(ctx, strings.ReplaceAll(input, "socket wildcard", "socket nosuchkey"), args...)
}

// TestKernelLacksSomething: nothing stays half done.
func TestKernelLacksSomething(t *testing.T) {
	w := newWorld(t, ipv4, Options{run: lacking{program{}, "-f"}})
	w.others()
	before := w.snapshot()
	err := w.Server.Do(func() error { _, err := w.b.Set(t.Context(), w.order("1001/tcp", "")); return err })
	if !errors.Is(err, portsnare.Unavailable) || !strings.Contains(err.Error(), "Error: ") || !strings.Contains(portsnare.HintOf(err), "modprobe") {
		t.Errorf("Set: %v, want unavailable, the reason and a hint", err)
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("traces (-before +after):\n%s", diff)
	}
}

// crowded is a runner whose kernel has as many bans as it takes.
type crowded struct{ t *testing.T }

func (crowded) installed() bool { return true }

func (c crowded) nft(_ context.Context, _ string, args ...string) (string, error) {
	switch command := strings.Join(args, " "); command {
	case "-j -t list ruleset inet":
		return `{"nftables": [{"table": {"family": "inet", "name": "portsnare"}}, {"set": {"table": "portsnare", "name": "ban4"}}]}`, nil
	case "-j list set inet portsnare ban4":
		var elements []string
		for n := range maxSources {
			addr := netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})
			elements = append(elements, fmt.Sprintf(`{"elem": {"val": "%s", "timeout": 600, "expires": 500, "counter": {"packets": 1, "bytes": 60}}}`, addr))
		}
		return `{"nftables": [{"set": {"name": "ban4", "elem": [` + strings.Join(elements, ",") + `]}}]}`, nil
	default:
		c.t.Errorf("unexpected: nft %s", command)
		return "", nil
	}
}

func TestNoRoomForABan(t *testing.T) {
	b := New(Options{run: crowded{t}})
	err := b.Ban(t.Context(), netip.MustParsePrefix("203.0.113.7/32"), time.Now().Add(time.Hour))
	if !errors.Is(err, portsnare.LimitExceeded) {
		t.Errorf("one ban too many: %v, want limit exceeded", err)
	}
}
