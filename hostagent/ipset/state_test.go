package ipset

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/localports"
)

// snapshot is all that somebody could find of us, by where he finds it.
func (w *world) snapshot(variant string) map[string]string {
	w.t.Helper()
	sets := strings.SplitAfter(w.output("ipset", "save"), "\n")
	for i, line := range sets {
		sets[i], _, _ = strings.Cut(line, " initval ") // the seed of a hash
	}
	slices.Sort(sets)
	found := map[string]string{
		"ipset":    strings.Join(sets, "\n"),
		"reserved": w.output("cat", localports.Path),
	}
	for _, tool := range []string{"iptables", "ip6tables"} {
		found[tool] = w.output(tool + variant + "-save")
	}
	return found
}

// others is what an administrator and another program have on the server.
func (w *world) others(variant string) {
	w.feed("create crowdsec-blacklists hash:net timeout 0\nadd crowdsec-blacklists 192.0.2.0/25 timeout 0\n", "ipset", "restore")
	for _, tool := range []string{"iptables", "ip6tables"} {
		w.feed(`*raw
:CROWDSEC - [0:0]
-A PREROUTING -j CROWDSEC
-A CROWDSEC -p udp -m udp --dport 53 -j CT --notrack
COMMIT
*mangle
:PORTSNARED - [0:0]
-A PREROUTING -j PORTSNARED
-A PORTSNARED -p tcp -m tcp --dport 9 -j DROP
COMMIT
*filter
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -j REJECT
COMMIT
`, tool+variant+"-restore", "--noflush")
	}
	w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", "1003,30000-30009"))
}

func toolOf(f ipFamily) string { return familyOf(f.server).tool }

// TestSecondSetChangesNothing, also by an agent that has just started.
func TestSecondSetChangesNothing(t *testing.T) {
	for _, variant := range []string{"-nft", "-legacy"} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, ipv4, Options{variant: variant})
			order := sample(t)
			for i := range order.Bans {
				order.Bans[i].Until = order.Bans[i].Until.Add(time.Since(noon))
			}
			for i := range order.Friends {
				order.Friends[i].Until = order.Friends[i].Until.Add(time.Since(noon))
			}
			if !w.set(order) {
				t.Error("the first Set changed nothing")
			}
			w.b = New(w.b.opts)
			before := w.snapshot(variant)
			if w.set(order) {
				t.Error("the second Set changed something")
			}
			if diff := cmp.Diff(before["iptables"], w.snapshot(variant)["iptables"]); diff != "" {
				t.Errorf("rules changed:\n%s", diff)
			}
		})
	}
}

// TestRepair damages what we made, in every way that does not need us gone.
func TestRepair(t *testing.T) {
	w := newWorld(t, ipv4, Options{})
	order := w.order("1001-1009/tcp", "2001/tcp")
	order.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}
	w.set(order)
	before := w.snapshot("")
	tests := []struct {
		name   string
		damage func()
	}{
		{"jump lost", func() { w.output("iptables", "-t", "raw", "-F", "PREROUTING") }},
		{"jump twice", func() { w.output("ip6tables", "-t", "mangle", "-A", "PREROUTING", "-j", chainMain) }},
		{"rule lost", func() { w.output("iptables", "-t", "mangle", "-D", chainStray, "3") }},
		{"rule added", func() { w.output("iptables", "-t", "raw", "-I", chainMain, "-j", "ACCEPT") }},
		{"table flushed", func() { w.output("iptables", "-t", "raw", "-F") }},
		{"chain added", func() { w.output("iptables", "-t", "raw", "-N", chainMain+"_OLD") }},
		{"trap added", func() { w.output("ipset", "add", trapTCP, "22") }},
		{"bait lost", func() { w.output("ipset", "flush", baitTCP) }},
		{"bait added", func() { w.output("ipset", "add", baitTCP, "1001-1009") }},
		{"protected added", func() { w.output("ipset", "add", protectedTCP, "1001-1009") }},
		{"allow added", func() { w.output("ipset", "add", "portsnare_allow4", "198.51.100.0/24") }},
		{"allow lost", func() { w.output("ipset", "flush", "portsnare_allow4") }},
		{"set left", func() { w.output("ipset", "create", trapUDP+fresh, "bitmap:port", "range", "0-65535") }},
		{"reserved reset", func() { w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", "\n")) }},
		{"traps lost", func() {
			w.output("ipset", "flush", trapTCP)
			w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", "\n"))
		}},
	}
	for _, test := range tests {
		test.damage()
		if !w.set(order) {
			t.Errorf("%s: nothing was repaired", test.name)
		}
		if diff := cmp.Diff(before, w.snapshot("")); diff != "" {
			t.Errorf("%s (-before +after):\n%s", test.name, diff)
		}
		if w.set(order) {
			t.Errorf("%s: the repair was not complete", test.name)
		}
	}
}

// TestRotationRepairs: damage to the rules is found by the next order too, which
// otherwise asks for nothing but sets.
func TestRotationRepairs(t *testing.T) {
	for _, variant := range []string{"-nft", "-legacy"} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			ran := &record{runner: programs{}}
			w := newWorld(t, ipv4, Options{variant: variant, run: ran})
			a, b := w.order("1001-1009/tcp", ""), w.order("2001-2009/tcp", "")
			w.set(b)
			want := w.snapshot(variant)
			w.set(a)
			w.set(a)
			ran.programs = nil
			w.set(b)
			if diff := cmp.Diff(want, w.snapshot(variant)); diff != "" {
				t.Errorf("after a rotation (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"ipset", "ipset"}, ran.programs); variant == "-nft" && diff != "" {
				t.Errorf("programs that rotated (-want +got):\n%s", diff)
			}
			w.set(a)
			w.output("iptables"+variant, "-t", "raw", "-F")
			w.set(b)
			if diff := cmp.Diff(want, w.snapshot(variant)); diff != "" {
				t.Errorf("after damage (-want +got):\n%s", diff)
			}
		})
	}
}

// record is a runner that notes what it ran.
type record struct {
	runner
	programs []string
}

func (r *record) start(ctx context.Context, input, program string, args ...string) wait {
	r.programs = append(r.programs, program)
	return r.runner.start(ctx, input, program, args...)
}

// TestDestroyed: somebody removed all rules and all sets. What we reserved is
// still known to be ours.
func TestDestroyed(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", "1003,30000"))
		order := w.serve()
		w.set(order)
		want := w.snapshot("")
		for _, tool := range []string{"iptables", "ip6tables"} {
			for _, table := range []string{"raw", "mangle"} {
				w.output(tool, "-t", table, "-F")
				w.output(tool, "-t", table, "-X")
			}
		}
		w.do(func(ctx context.Context) error { return w.b.destroySets(ctx, "destroy\n") })
		if !w.set(order) {
			t.Error("nothing was repaired")
		}
		if diff := cmp.Diff(want, w.snapshot("")); diff != "" {
			t.Errorf("after the repair (-want +got):\n%s", diff)
		}
		w.do(w.b.Flush)
		if got := w.output("cat", localports.Path); got != "1003,30000\n" {
			t.Errorf("reserved ports after Flush %q, want those of others", got)
		}
	})
}

// TestReservedBelongsToOthersToo: what stood there before a trap came is left
// there when the trap goes.
func TestReservedBelongsToOthersToo(t *testing.T) {
	w := newWorld(t, ipv4, Options{})
	reserved := func(want string) {
		t.Helper()
		if got := w.output("cat", localports.Path); got != want+"\n" {
			t.Errorf("reserved ports %q, want %q", got, want)
		}
	}
	w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", "1003,5000"))
	w.set(w.order("1001-1004/tcp", ""))
	reserved("1001-1004,5000")
	w.set(w.order("1004-1005/tcp,7/udp", ""))
	reserved("7,1003-1005,5000")
	w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", "6000"))
	w.set(w.order("1004-1005/tcp", ""))
	reserved("1004-1005,6000")
	w.do(w.b.Flush)
	reserved("6000")
}

// TestManyReserved: the list is longer than what the kernel takes or gives out
// in one piece.
func TestManyReserved(t *testing.T) {
	w := newWorld(t, ipv4, Options{})
	order := w.order("", "")
	var ports []portsnare.Port
	for n := uint16(1025); n < 60000; n += 3 {
		ports = append(ports, portsnare.Port{Protocol: portsnare.TCP, Number: n})
	}
	order.Traps.Secret = portsnare.PortSetOf(ports...)
	w.set(order)
	w.do(func(context.Context) error {
		got, err := localports.Read(localports.Path)
		if !got.Equal(order.Traps.Secret) {
			t.Errorf("%d ports reserved, want the %d traps", got.Len(), len(ports))
		}
		return err
	})
	if w.set(order) {
		t.Error("the second Set changed something")
	}
}

// flaky is a runner that fails at one call, as if the agent were killed there.
type flaky struct {
	runner
	left int // calls that still work
}

var errKilled = errors.New("killed")

func (f *flaky) start(ctx context.Context, input, program string, args ...string) wait {
	if f.left--; f.left < 0 {
		return func() (string, error) { return "", errKilled }
	}
	return f.runner.start(ctx, input, program, args...)
}

// TestKilledAnywhere cuts a change short before each call and has another
// backend go on from there.
func TestKilledAnywhere(t *testing.T) {
	w := newWorld(t, ipv4, Options{})
	w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", "1003,2002"))
	first, second := w.order("1001-1009/tcp", "2001/tcp"), w.order("2001-2009/tcp", "1001/tcp")
	first.Policy.Strikes, second.Policy.Strikes = 4, 2
	w.set(first)
	wantFirst := w.snapshot("")
	w.set(second)
	wantSecond := w.snapshot("")
	w.do(w.b.Flush)
	nothing := w.snapshot("")
	killed := func(calls int, f func(context.Context, *Backend) error) bool {
		t.Helper()
		b := New(Options{run: &flaky{programs{}, calls}})
		err := w.Server.Do(func() error { return f(t.Context(), b) })
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		return err != nil
	}
	for calls, dead := 0, true; dead; calls++ {
		dead = false
		for _, step := range []struct {
			order portsnare.Order
			want  map[string]string
		}{{first, wantFirst}, {second, wantSecond}} {
			dead = killed(calls, func(ctx context.Context, b *Backend) error {
				_, err := b.Set(ctx, step.order)
				return err
			}) || dead
			w.set(step.order)
			if diff := cmp.Diff(step.want, w.snapshot("")); diff != "" {
				t.Fatalf("after %d calls (-want +got):\n%s", calls, diff)
			}
		}
		dead = killed(calls, func(ctx context.Context, b *Backend) error { return b.Flush(ctx) }) || dead
		w.do(w.b.Flush)
		if diff := cmp.Diff(nothing, w.snapshot("")); diff != "" {
			t.Fatalf("flush after %d calls (-want +got):\n%s", calls, diff)
		}
	}
}

func TestBan(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		source := w.source(2)
		prefix := portsnare.BanPrefix(source)
		ban := func(left time.Duration) {
			t.Helper()
			w.do(func(ctx context.Context) error { return w.b.Ban(ctx, prefix, time.Now().Add(left)) })
		}
		wantLeft := func(want time.Duration) {
			t.Helper()
			if got := time.Until(w.bans()[prefix]); got > want+time.Second || got < want-5*time.Second {
				t.Errorf("ban lasts %s, want %s", got, want)
			}
		}
		ban(time.Minute) // before the first order
		wantLeft(time.Minute)
		order := w.order("1001-1009/tcp", "")
		w.set(order)
		w.wantBanned(source, true)
		ban(time.Hour)
		wantLeft(time.Hour)
		order.Bans = []portsnare.Ban{{Source: prefix, Until: time.Now().Add(time.Minute)}}
		w.set(order)
		wantLeft(time.Hour)
		order.Bans[0].Until = time.Now().Add(2 * time.Hour)
		w.set(order)
		wantLeft(2 * time.Hour)
		w.wantDropped(source, 1) // by wantBanned; prolonging keeps the count
		ban(-time.Minute)
		wantLeft(2 * time.Hour)
	})
}
