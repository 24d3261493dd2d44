package kerneltest

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// path is what a source does, step by step, and when it is banned for it.
type path struct {
	name  string
	steps []step
}

// step is packets to ports, after which the source is banned or not.
type step struct {
	ports  []uint16
	proto  netlab.Protocol
	banned bool
}

func syns(banned bool, ports ...uint16) step { return step{ports: ports, banned: banned} }

func datagrams(banned bool, ports ...uint16) step {
	return step{ports: ports, proto: netlab.UDP, banned: banned}
}

var paths = []path{
	{"the third trap bans", []step{syns(false, 1001, 1002), syns(true, 1003)}},
	{"a port tried again is one strike", []step{syns(false, 1001, 1001, 1002, 1002, 1001), syns(true, 1003)}},
	{"bait arms, a secret trap fires", []step{syns(false, 2001, 2002, 2003, 2004), syns(true, 1001)}},
	{"bait in between counts", []step{syns(false, 1001, 2001), syns(false, 2002), syns(true, 1002)}},
	{"a neighbour fires", []step{syns(false, 1001, 1002), syns(true, 5021)}},
	{"UDP arms, TCP fires", []step{datagrams(false, 1001, 1002, 1003, 1004), syns(true, 1001)}},
	{"a public port is no trap", []step{syns(false, 1001, 1002, publicPort, publicPort)}},
}

func TestStrikes(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.set(w.order())
		for _, p := range paths {
			w.run(t, p.name, p.test)
		}
	})
}

func (p path) test(w *world) {
	source := w.source()
	for _, s := range p.steps {
		for _, port := range s.ports {
			w.send(netlab.Packet{Src: source, Proto: s.proto, DstPort: port, Flags: netlab.SYN})
		}
		w.wantBanned(source, s.banned)
	}
	if until := w.bans()[portsnare.BanPrefix(source)]; !until.IsZero() {
		if left := time.Until(until); left < 580*time.Second || left > 600*time.Second {
			w.t.Errorf("ban lasts %s, want 10m", left)
		}
	}
	for _, a := range w.answers(source) {
		if a.SrcPort != hiddenPort && a.SrcPort != publicPort {
			w.t.Errorf("a trap answered: %s", a)
		}
	}
	w.record("Strikes", p.name, "as stated")
}

// TestStrikesOfEveryK walks the ladder to its end for every K. Hits, strikes and
// bans live through the change of the policy.
func TestStrikesOfEveryK(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		var all []netip.Addr
		for k := 1; k <= portsnare.MaxStrikes; k++ {
			order := w.order()
			order.Policy.Strikes = k
			w.set(order)
			source := w.source()
			w.syn(source, netlab.Ascending(1001, uint16(1000+k-1))...)
			w.wantBanned(source, false)
			w.syn(source, uint16(1000+k))
			all = append(all, source)
			for _, source := range all {
				w.wantBanned(source, true)
			}
		}
		w.record("Strikes", "K from 1 to 8, changed while bans stand", "banned at K")
	})
}

// TestNetworkOfASource: in IPv6 the /64 is the source, in IPv4 the address.
func TestNetworkOfASource(t *testing.T) {
	tests := map[string]struct {
		near, far string
		shared    bool // what near does falls back on the source
	}{
		ipv4.name: {"198.51.100.252", "198.51.100.253", false},
		ipv6.name: {"2001:db8:51:fa:ffff::1", "2001:db8:51:fb::1", true},
	}
	forEach(t, defences, func(t *testing.T, w *world) {
		w.set(w.order())
		test := tests[w.family.name]
		source := netip.MustParseAddr(map[bool]string{true: "198.51.100.251", false: "2001:db8:51:fa::1"}[w.server.Is4()])
		near, far := netip.MustParseAddr(test.near), netip.MustParseAddr(test.far)
		w.syn(source, 1001)
		w.syn(near, 1001, 1002)
		w.wantBanned(source, false)
		w.syn(source, 1003)
		w.wantBanned(near, test.shared)
		w.wantBanned(source, test.shared)
		w.wantBanned(far, false)
		w.record("Strikes", "an IPv4 address, an IPv6 /64", "counted as one source")
	})
}

// TestWindowSlides: three hits within the window count, however they lie to the
// hits before; three that do not, do not; a repeated one is not counted anew.
func TestWindowSlides(t *testing.T) {
	const ms = time.Millisecond
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		order.Policy.Window = 3 * time.Second
		w.set(order)
		within, beyond, again := w.source(), w.source(), w.source()
		hits := []struct {
			at     time.Duration
			source netip.Addr
			port   uint16
		}{
			{0, within, 1001}, {0, beyond, 1001}, {0, again, 1001},
			{1700 * ms, within, 1002}, {1700 * ms, beyond, 1002}, {1700 * ms, again, 1001},
			{3500 * ms, within, 1003}, {3500 * ms, beyond, 1003}, {3500 * ms, again, 1001},
			{3600 * ms, within, 1004}, // the hits at 1.7, 3.5 and 3.6 s
			{5300 * ms, beyond, 1004}, // that at 1.7 s is over
			{5300 * ms, again, 1001},
			{5300 * ms, again, 1002},
			{5300 * ms, again, 1003}, // each but 1001 was met once
		}
		start := time.Now()
		for _, h := range hits {
			time.Sleep(time.Until(start.Add(h.at))) // time itself is what is tested
			w.syn(h.source, h.port)
		}
		w.wantBanned(within, true)
		w.wantBanned(beyond, false)
		w.wantBanned(again, false)
		w.record("Strikes", "the window slides", "exactly")
	})
}

// TestAllowed: allowed sources neither count nor are shut out, and lose the ban
// they had.
func TestAllowed(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		source := w.source()
		order := w.order()
		w.set(order)
		w.syn(source, 1001, 1002, 1003)
		w.wantBanned(source, true)
		order.Allow = []netip.Prefix{portsnare.BanPrefix(source)}
		w.set(order)
		w.syn(source, 1004, 1005, 1006)
		w.wantBanned(source, false)
		w.record("Strikes", "whoever is allowed loses his ban", "served")
	})
}

// TestAllowedWithinABan: in IPv6 one who is allowed may live in the /64 of one who
// is banned.
func TestAllowedWithinABan(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		if w.server.Is4() {
			return // an address is the source
		}
		allowed, neighbour := netip.MustParseAddr("2001:db8:51:fa::7"), netip.MustParseAddr("2001:db8:51:fa::8")
		order := w.order()
		order.Allow = []netip.Prefix{netip.PrefixFrom(allowed, 128)}
		w.set(order)
		w.syn(allowed, 1004, 1005, 1006)
		w.wantBanned(neighbour, false)
		w.syn(neighbour, 1001, 1002, 1003)
		w.wantBanned(neighbour, true)
		if !w.serves(allowed) {
			t.Error("the allowed address was not served")
		}
		w.record("Strikes", "who is allowed, in the /64 of who is banned", "served")
	})
}

// TestBan: a ban by hand stands at once, also before the first order, is as long
// as it was told to be, and is never cut short by an order.
func TestBan(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		source := w.source()
		prefix := portsnare.BanPrefix(source)
		ban := func(left time.Duration) {
			w.do(func(ctx context.Context) error { return w.b.Ban(ctx, ban(prefix, time.Now().Add(left))) })
		}
		wantLeft := func(want time.Duration) {
			t.Helper()
			if got := time.Until(w.bans()[prefix]); got > want+time.Second || got < want-10*time.Second {
				t.Errorf("ban lasts %s, want %s", got, want)
			}
		}
		ban(time.Minute)
		wantLeft(time.Minute)
		order := w.order()
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
		ban(-time.Minute)
		wantLeft(2 * time.Hour)
		w.record("Strikes", "a ban by hand", "as long as told, never shortened by an order")
	})
}

// TestBanOfAnAllowedSource: nobody bans whom an order allows.
func TestBanOfAnAllowedSource(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		source := w.source()
		order := w.order()
		order.Allow = []netip.Prefix{portsnare.BanPrefix(source)}
		w.set(order)
		w.do(func(ctx context.Context) error {
			return w.b.Ban(ctx, ban(portsnare.BanPrefix(source), time.Now().Add(time.Hour)))
		})
		w.wantBanned(source, false)
	})
}
