package nftables

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

// snapshot is all that somebody could find of us, by where he finds it, without
// the time that is left to entries.
func (w *world) snapshot() map[string]string {
	w.t.Helper()
	return map[string]string{"nft": stateless(w.ruleset()), "reserved": w.reservedPorts()}
}

// stateless leaves out when entries run out, and the order of sets and chains.
func stateless(ruleset string) string {
	blocks := strings.Split(strings.ReplaceAll(ruleset, "\n}\n", "\n\n}\n\n"), "\n\n")
	slices.Sort(blocks)
	ruleset = strings.Join(blocks, "\n\n")
	var b strings.Builder
	for field := range strings.SplitSeq(ruleset, " ") {
		if !strings.ContainsAny(field, "0123456789") || !strings.HasSuffix(field, "ms") && !strings.HasSuffix(field, "s") {
			b.WriteString(field + " ")
		}
	}
	return b.String()
}

// others is what an administrator and other programs have on the server: a
// service manager's chains before and behind ours, rules through the iptables
// of old, containers' published ports.
func (w *world) others() {
	w.feed(`
table inet filter {
	chain input {
		type filter hook input priority filter; policy accept;
		ct state established,related accept
		tcp dport 22 accept
		meta l4proto tcp reject with tcp reset
	}
}
table inet firewalld {
	set blocked { type ipv4_addr; flags interval; elements = { 192.0.2.0/25 }; }
	chain raw_PREROUTING {
		type filter hook prerouting priority raw + 10; policy accept;
		udp dport 53 notrack
		ip saddr @blocked drop
	}
}
table ip nat {
	chain PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local tcp dport 8080 dnat to 172.17.0.2:80
	}
	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 172.17.0.0/16 masquerade
	}
}
`, "nft", "-f", "-")
	w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", "1003,30000-30009"))
}

// TestFlush: beside the rules and sets of others we detect, and afterwards all
// is as it was, byte for byte.
func TestFlush(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.others()
		before, reserved := w.output("nft", "list", "ruleset"), w.reservedPorts()
		w.set(w.order("1001-1009/tcp", ""))
		if got, want := w.reservedPorts(), "1001-1009,30000-30009"; got != want {
			t.Errorf("reserved ports %q, want %q", got, want)
		}
		w.syn(w.source(2), 1001, 1002)
		w.wantBanned(w.source(2), false)
		w.syn(w.source(2), 1003)
		w.wantBanned(w.source(2), true)
		if !strings.HasPrefix(w.output("nft", "list", "ruleset"), before) {
			t.Error("rules of others differed while we were there")
		}
		w.do(w.b.Flush)
		if diff := cmp.Diff(before, w.output("nft", "list", "ruleset")); diff != "" {
			t.Errorf("traces (-before +after):\n%s", diff)
		}
		if got := w.reservedPorts(); got != reserved {
			t.Errorf("reserved ports %q, want %q", got, reserved)
		}
		w.do(w.b.Flush)
		w.wantBanned(w.source(2), false)
	})
}

// TestFlushOfNothing: where nothing is, nothing is made.
func TestFlushOfNothing(t *testing.T) {
	w := newWorld(t, ipv4, Options{})
	w.do(w.b.Flush)
	if got := w.output("nft", "list", "ruleset"); got != "" {
		t.Errorf("flush made %s", got)
	}
}

// present is the sample order, of which bans and friends are in force.
func present(t *testing.T) portsnare.Order {
	order := sample(t)
	for i := range order.Bans {
		order.Bans[i].Until = order.Bans[i].Until.Add(time.Since(noon))
	}
	for i := range order.Friends {
		order.Friends[i].Until = order.Friends[i].Until.Add(time.Since(noon))
	}
	return order
}

// TestSecondSetChangesNothing, also by an agent that has just started.
func TestSecondSetChangesNothing(t *testing.T) {
	for _, change := range []struct {
		name string
		make func(*portsnare.Order)
	}{
		{"plain", func(*portsnare.Order) {}},
		{"alarm", func(o *portsnare.Order) { o.Alarm = true }},
		{"delay", func(o *portsnare.Order) { o.Policy.Delay = true }},
		{"no cloud", func(o *portsnare.Order) { o.CloudFirewall = false }},
		{"one strike", func(o *portsnare.Order) { o.Policy.Strikes = 1 }},
		{"all allowed", func(o *portsnare.Order) {
			o.Allow = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"), netip.MustParsePrefix("192.0.2.1/32")}
		}},
	} {
		t.Run(change.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, ipv4, Options{})
			order := present(t)
			change.make(&order)
			if !w.set(order) {
				t.Error("the first Set changed nothing")
			}
			w.b = New(Options{})
			before := w.snapshot()
			if w.set(order) {
				t.Error("the second Set changed something")
			}
			if diff := cmp.Diff(before, w.snapshot()); diff != "" {
				t.Errorf("changed (-before +after):\n%s", diff)
			}
		})
	}
}

// TestSavedRulesetLoads: an administrator saves what stands and has it loaded at
// the next boot. That is our program still, with what it remembered.
func TestSavedRulesetLoads(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.order("1001-1009/tcp,7/udp", "2001/tcp")
		order.Policy.Delay = true
		order.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:9::/48")}
		order.Friends = []portsnare.Friend{{
			Source: portsnare.BanPrefix(w.scanner), Port: tcp(protectedPort), Until: time.Now().Add(time.Hour),
		}}
		w.set(order)
		banned, struck := w.source(2), w.source(3)
		w.syn(banned, 1001, 1002, 1003, 1004, 1005)
		w.syn(struck, 1001, 1002)
		w.answers(struck, 0)
		saved := w.output("nft", "list", "ruleset")
		w.output("nft", "flush", "ruleset")
		w.feed(saved, "nft", "-f", "-")
		if w.set(order) {
			t.Error("the loaded program is not ours")
		}
		w.wantDropped(banned, 3)
		w.syn(struck, 1001, 1002)
		if got := w.struck(2); got != 2 {
			t.Errorf("%d sources with two strikes, want 2", got)
		}
		w.syn(struck, 1003)
		w.answers(struck, 0)
		if _, ok := w.bans()[portsnare.BanPrefix(struck)]; !ok {
			t.Error("strikes were lost")
		}
	})
}

// TestRepair damages what we made, in every way that does not need us gone.
func TestRepair(t *testing.T) {
	w := newWorld(t, ipv4, Options{})
	w.others()
	order := w.order("1001-1009/tcp", "2001/tcp")
	order.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}
	w.set(order)
	before := w.snapshot()
	nft := func(command string) func() { return func() { w.output("nft", command) } }
	reset := func() { w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", "1003,30000-30009")) }
	tests := []struct {
		name   string
		damage func()
	}{
		{"rules lost", nft("flush chain inet portsnare early")},
		{"rule added", nft("insert rule inet portsnare trap4 accept")},
		{"rules of all lost", nft("flush table inet portsnare")},
		{"chain added", nft("add chain inet portsnare old")},
		{"chain lost", nft("flush chain inet portsnare late; flush chain inet portsnare udp6; delete chain inet portsnare udp6")},
		{"policy changed", nft("chain inet portsnare late { policy drop; }")},
		{"set added", nft("add set inet portsnare old { type mark; }")},
		{"set of another form", nft("flush table inet portsnare; delete set inet portsnare hit4; add set inet portsnare hit4 { type ipv4_addr; }")},
		{"trap added", nft("add element inet portsnare trap_tcp { 22 }")},
		{"bait lost", nft("flush set inet portsnare bait_tcp")},
		{"allow lost", nft("flush set inet portsnare allow4")},
		{"reserved reset", reset},
		{"table lost", func() { w.output("nft", "delete table inet portsnare"); reset() }},
	}
	for _, test := range tests {
		test.damage()
		if !w.set(order) {
			t.Errorf("%s: nothing was repaired", test.name)
		}
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("%s (-before +after):\n%s", test.name, diff)
		}
		if w.set(order) {
			t.Errorf("%s: the repair was not complete", test.name)
		}
	}
}

// TestRulesetFlushed: an administrator's nft flush ruleset takes everything of
// ours, which the next Set puts back; and what we reserved is still ours.
func TestRulesetFlushed(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", "1003,30000-30009"))
		order := w.order("1001-1009/tcp", "")
		order.Bans = []portsnare.Ban{{Source: portsnare.BanPrefix(w.source(2)), Until: time.Now().Add(time.Hour)}}
		w.set(order)
		before := w.snapshot()
		w.output("nft", "flush", "ruleset")
		w.set(order)
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("-before +after:\n%s", diff)
		}
		w.wantBanned(w.source(2), true)
		w.do(w.b.Flush)
		if got, want := w.reservedPorts(), "1003,30000-30009"; got != want {
			t.Errorf("reserved ports %q, want %q", got, want)
		}
	})
}

// TestAnotherVersion: a table of another form is replaced in one transaction,
// and nobody who is banned, or a friend, notices.
func TestAnotherVersion(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.friendly()
		w.set(order)
		banned, friend := w.source(2), w.source(3)
		w.syn(banned, 1001, 1002, 1003)
		w.wantBanned(banned, true)
		w.converse(friend, hiddenPort, 1)
		w.output("nft", "flush table inet portsnare; delete set inet portsnare hit4; add set inet portsnare hit4 { type ipv4_addr; }")
		w.set(order)
		w.wantDropped(banned, 2)
		w.wantBanned(banned, true)
		w.wantFriend(friend, hiddenPort, true)
		if w.set(order) {
			t.Error("the second Set changed something")
		}
	})
}

// TestReservedBelongsToOthersToo: what stood there before a trap came is left
// there when the trap goes.
func TestReservedBelongsToOthersToo(t *testing.T) {
	w := newWorld(t, ipv4, Options{})
	reserved := func(want string) {
		t.Helper()
		if got := w.reservedPorts(); got != want {
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

func (f *flaky) nft(ctx context.Context, input string, args ...string) (string, error) {
	if f.left--; f.left < 0 {
		return "", errKilled
	}
	return f.runner.nft(ctx, input, args...)
}

// TestKilledAnywhere cuts a change short before each call and has another
// backend go on from there.
func TestKilledAnywhere(t *testing.T) {
	w := newWorld(t, ipv4, Options{})
	w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", "1003,2002"))
	first, second := w.order("1001-1009/tcp", "2001/tcp"), w.order("2001-2009/tcp", "1001/tcp")
	first.Policy.Strikes, second.Policy.Strikes = 4, 2
	w.set(first)
	wantFirst := w.snapshot()
	w.set(second)
	wantSecond := w.snapshot()
	w.do(w.b.Flush)
	nothing := w.snapshot()
	killed := func(calls int, f func(context.Context, *Backend) error) bool {
		t.Helper()
		b := New(Options{run: &flaky{program{}, calls}})
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
			w.b = New(Options{})
			w.set(step.order)
			if diff := cmp.Diff(step.want, w.snapshot()); diff != "" {
				t.Fatalf("after %d calls (-want +got):\n%s", calls, diff)
			}
		}
		dead = killed(calls, func(ctx context.Context, b *Backend) error { return b.Flush(ctx) }) || dead
		w.do(w.b.Flush)
		if diff := cmp.Diff(nothing, w.snapshot()); diff != "" {
			t.Fatalf("flush after %d calls (-want +got):\n%s", calls, diff)
		}
	}
}
