package kerneltest

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// TestInvalid: what the kernel cannot hold in the form in which it came is
// refused, and nothing is done.
func TestInvalid(t *testing.T) {
	wide := netip.MustParsePrefix("198.51.100.0/24")
	hour := time.Now().Add(time.Hour)
	one := portsnare.Friend{Source: netip.MustParsePrefix("198.51.100.7/32"), Port: portsnare.Port{Protocol: portsnare.TCP, Number: hiddenPort}, Until: hour}
	orders := []struct {
		name  string
		spoil func(*kernel.State)
	}{
		{"a ban of a /24", func(o *kernel.State) { o.Bans = []portsnare.Ban{{Source: wide, Until: hour}} }},
		{"a friend that is a /24", func(o *kernel.State) { one := one; one.Source = wide; o.Friends = []portsnare.Friend{one} }},
		{"a friend by UDP", func(o *kernel.State) {
			one := one
			one.Port.Protocol = portsnare.UDP
			o.Friends = []portsnare.Friend{one}
		}},
		{"nine strikes", func(o *kernel.State) { o.Policy.Strikes = portsnare.MaxStrikes + 1 }},
	}
	forEach(t, defences, func(t *testing.T, w *world) {
		before := w.snapshot()
		for _, test := range orders {
			order := w.order()
			test.spoil(&order)
			w.wantRefused(test.name, w.attempt(func(ctx context.Context) error {
				_, err := w.b.Set(ctx, order)
				return err
			}), portsnare.Invalid, "", "")
		}
		for _, source := range []netip.Prefix{wide, {}, netip.MustParsePrefix("2001:db8:51:7::1/128")} {
			w.wantRefused("ban of "+source.String(), w.attempt(func(ctx context.Context) error {
				return w.b.Ban(ctx, ban(source, hour))
			}), portsnare.Invalid, "", "")
		}
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("changed (-before +after):\n%s", diff)
		}
		w.record("Refusals", "bans and friends that are networks, friends by UDP, nine strikes", "invalid, nothing changed")
	})
}

// attempt runs f in the server's namespace and returns its error.
func (w *world) attempt(f func(context.Context) error) error {
	return w.Server.Do(func() error { return f(context.Background()) })
}

// TestMissingPrograms has only some programs in the PATH.
func TestMissingPrograms(t *testing.T) {
	tests := []struct {
		variant
		have string // a pattern
		hint string
	}{
		{ipsetNFT, "", "apt-get install ipset iptables"},
		{ipsetNFT, "ipset", "apt-get install iptables"},
		{ipsetNFT, "ip*tables-*", "apt-get install ipset"},
		{nftablesOwn, "", "apt-get install nftables"},
		{nftablesOwn, "ip*", "apt-get install nftables"},
	}
	for _, test := range tests {
		t.Run(test.variant.name+", PATH of "+test.have, func(t *testing.T) {
			w := newWorld(t, test.variant, ipv4)
			before := w.snapshot()
			withPrograms(t, test.have, func() {
				w.wantAllRefused(w.refusals(), portsnare.Unavailable, "not installed", test.hint)
			})
			if diff := cmp.Diff(before, w.snapshot()); diff != "" {
				t.Errorf("changed (-before +after):\n%s", diff)
			}
			w.record("Refusals", "programs are missing", "unavailable, and what to install")
		})
	}
}

// withPrograms runs f with nothing in the PATH but what a pattern matches.
func withPrograms(t *testing.T, pattern string, f func()) {
	t.Helper()
	dir, path := t.TempDir(), os.Getenv("PATH")
	for _, from := range filepath.SplitList(path) {
		programs, err := fs.Glob(os.DirFS(from), pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, program := range programs {
			if err := os.Symlink(filepath.Join(from, program), filepath.Join(dir, program)); err != nil && !errors.Is(err, fs.ErrExist) {
				t.Fatal(err)
			}
		}
	}
	os.Setenv("PATH", dir)
	defer os.Setenv("PATH", path)
	f()
}

// refusals calls every method of the backend and returns the errors.
func (w *world) refusals() map[string]error {
	w.t.Helper()
	order, errs := w.order(), map[string]error{}
	w.do(func(ctx context.Context) error {
		errs["Check"] = w.b.Check(ctx)
		_, errs["Set"] = w.b.Set(ctx, order)
		errs["Ban"] = w.b.Ban(ctx, ban(portsnare.BanPrefix(w.stranger(0)), time.Now().Add(time.Hour)))
		_, errs["Bans"] = w.b.Bans(ctx)
		_, errs["Dropped"] = w.b.Dropped(ctx)
		_, errs["Friends"] = w.b.Friends(ctx)
		_, errs["Full"] = w.b.Full(ctx)
		_, errs["Armed"] = w.b.Armed(ctx)
		errs["Unban"] = w.b.Unban(ctx, nil)
		errs["Flush"] = w.b.Flush(ctx)
		return nil
	})
	return errs
}

func (w *world) wantAllRefused(errs map[string]error, kind portsnare.Kind, why, hint string) {
	w.t.Helper()
	for name, err := range errs {
		w.wantRefused(name, err, kind, why, hint)
	}
}

// TestMissingPrivilege: without CAP_NET_ADMIN the agent is told so.
func TestMissingPrivilege(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		before := w.snapshot()
		refused := make(chan map[string]error)
		go func() {
			runtime.LockOSThread() // and never unlocked: this thread has nothing more to say
			if err := dropNetAdmin(); err != nil {
				t.Error(err)
			}
			refused <- w.refusals()
		}()
		w.wantAllRefused(<-refused, portsnare.Denied, "", "CAP_NET_ADMIN")
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("changed (-before +after):\n%s", diff)
		}
		w.record("Refusals", "the agent may not program the kernel", "denied, and what it needs")
	})
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

// TestUnreadableTable: a table of iptables that iptables cannot read must not be
// written, or our jump would be added with every Set.
func TestUnreadableTable(t *testing.T) {
	forEach(t, []variant{ipsetNFT}, func(t *testing.T, w *world) {
		w.set(w.order())
		w.output("nft", "add rule ip raw PREROUTING ct state vmap { new : accept }")
		before := w.snapshot()["nft list ruleset"]
		errs := w.refusals()
		for _, name := range []string{"Ban", "Unban", "Bans", "Dropped", "Friends", "Full"} {
			if errs[name] != nil {
				t.Errorf("%s, which needs no table: %v", name, errs[name])
			}
			delete(errs, name)
		}
		w.wantAllRefused(errs, portsnare.Conflict, "cannot read", "nft list ruleset")
		if diff := cmp.Diff(before, w.snapshot()["nft list ruleset"]); diff != "" {
			t.Errorf("changed (-before +after):\n%s", diff)
		}
		w.record("Refusals", "a table of iptables holds rules of nft", "a conflict, nothing changed")
	})
}
