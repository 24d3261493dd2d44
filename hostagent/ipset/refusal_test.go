package ipset

import (
	"context"
	"errors"
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
		{nil, "apt-get install ipset iptables"},
		{[]string{"ipset"}, "apt-get install iptables"},
		{[]string{"iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore"}, "apt-get install ipset"},
	}
	w := newWorld(t, ipv4, Options{})
	before := w.snapshot("")
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
	if diff := cmp.Diff(before, w.snapshot("")); diff != "" {
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
		_, errs["Friends"] = w.b.Friends(ctx)
		_, errs["Full"] = w.b.Full(ctx)
		errs["Ban"] = w.b.Ban(ctx, netip.MustParsePrefix("198.51.100.7/32"), time.Now().Add(time.Hour))
		errs["Check"] = w.b.Check(ctx)
		errs["Flush"] = w.b.Flush(ctx)
		return nil
	}))
	return errs
}

func TestMissingPrivilege(t *testing.T) {
	w := newWorld(t, ipv4, Options{})
	before := w.snapshot("")
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
	if diff := cmp.Diff(before, w.snapshot("")); diff != "" {
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

// TestUnreadableTable: what cannot be read must not be written, or our jump
// would be added with every Set.
func TestUnreadableTable(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not installed")
	}
	w := newWorld(t, ipv4, Options{variant: "-nft"})
	order := w.order("1001/tcp", "")
	w.set(order)
	w.output("nft", "add rule ip raw PREROUTING ct state vmap { new : accept }")
	before := w.output("nft", "list", "ruleset")
	for name, err := range w.refusals(order) {
		if name == "Ban" || name == "Bans" || name == "Friends" || name == "Full" { // need no table
			continue
		}
		if !errors.Is(err, portsnare.Conflict) || portsnare.HintOf(err) == "" {
			t.Errorf("%s: %v, want a conflict and a hint", name, err)
		}
	}
	if diff := cmp.Diff(before, w.output("nft", "list", "ruleset")); diff != "" {
		t.Errorf("changed (-before +after):\n%s", diff)
	}
}

// lacking is a runner whose kernel refuses one program's text.
type lacking struct {
	runner
	program string
}

func (l lacking) start(ctx context.Context, input, program string, args ...string) wait {
	if program == l.program {
		input = strings.ReplaceAll(input, "-m socket", "-m nosuchmatch")
	}
	return l.runner.start(ctx, input, program, args...)
}

// TestKernelLacksSomething: nothing stays half done where nothing was.
func TestKernelLacksSomething(t *testing.T) {
	for _, program := range []string{"iptables-restore", "ip6tables-restore"} {
		t.Run(program, func(t *testing.T) {
			w := newWorld(t, ipv4, Options{run: lacking{programs{}, program}})
			w.others("")
			before := w.snapshot("")
			err := w.Server.Do(func() error { _, err := w.b.Set(t.Context(), w.order("1001/tcp", "")); return err })
			if !errors.Is(err, portsnare.Unavailable) || !strings.Contains(err.Error(), "nosuchmatch") || portsnare.HintOf(err) == "" {
				t.Errorf("Set: %v, want unavailable, the reason and a hint", err)
			}
			if diff := cmp.Diff(before, w.snapshot("")); diff != "" {
				t.Errorf("traces (-before +after):\n%s", diff)
			}
		})
	}
}
