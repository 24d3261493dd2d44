package nftables

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

func TestStrikes(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		scanner, other := w.source(2), w.source(3)
		w.set(w.order("1001-1009/tcp", ""))
		w.syn(scanner, 1001, 1002)
		w.wantBanned(scanner, false)
		w.syn(scanner, 1003)
		w.wantBanned(scanner, true)
		w.wantDropped(scanner, 2) // the SYN that made the ban, the SYN of wantBanned
		w.wantBanned(other, false)
		left := time.Until(w.bans()[portsnare.BanPrefix(scanner)])
		if left < 590*time.Second || left > 600*time.Second {
			t.Errorf("ban lasts %s, want 10m", left)
		}
		for _, p := range w.answers(scanner, 0) {
			if p.SrcPort != protectedPort {
				t.Errorf("a trap answered: %s", p)
			}
		}
	})
}

// TestStrikesOfEveryK walks the ladder to its end for every K.
func TestStrikesOfEveryK(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		for k := 1; k <= portsnare.MaxStrikes; k++ {
			source := w.source(10 + k)
			order := w.order("1001-1020/tcp", "")
			order.Policy.Strikes = k
			w.set(order)
			for n := 1; n < k; n++ {
				w.syn(source, uint16(1000+n))
			}
			w.wantBanned(source, false)
			w.syn(source, uint16(1000+k))
			w.wantBanned(source, true)
		}
	})
}

func TestSamePortIsOneStrike(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		source := w.source(2)
		w.set(w.order("1001-1009/tcp", ""))
		for range 20 {
			w.syn(source, 1001)
		}
		w.wantBanned(source, false)
		w.syn(source, 1002)
		w.wantBanned(source, false)
		w.syn(source, 1003)
		w.wantBanned(source, true)
	})
}

// TestConnectIsOneStrike connects as programs do, with a kernel that repeats
// its SYN after a second.
func TestConnectIsOneStrike(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		source := w.source(2)
		w.set(w.order("1001-1009/tcp", ""))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		for _, port := range []uint16{1001, 1002} {
			go func() { done <- w.dial(ctx, source, port) }()
		}
		err := w.wire.Wait(w.soon(), 4, func(p netlab.Packet) bool {
			return p.Outgoing && p.Src == source && p.Flags == netlab.SYN
		})
		cancel()
		w.check(err)
		for range cap(done) {
			if err := <-done; err == nil {
				t.Error("a trap accepted a connection")
			}
		}
		w.wantBanned(source, false)
	})
}

func TestBaitArmsAndNeverFires(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		source := w.source(2)
		w.set(w.order("1001-1009/tcp", "2001-2009/tcp"))
		w.syn(source, 2001, 2002, 2003, 2004, 2005)
		w.wantBanned(source, false)
		w.syn(source, 1001)
		w.wantBanned(source, true)
	})
}

// TestUDPArmsAndNeverFires: a source of UDP is easily forged.
func TestUDPArmsAndNeverFires(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		source := w.source(2)
		w.set(w.order("1001-1009/tcp,1001-1009/udp", ""))
		for port := uint16(1001); port <= 1009; port++ {
			w.send(netlab.Packet{Proto: netlab.UDP, Src: source, DstPort: port, Payload: []byte("x")})
		}
		w.silent(source)
		w.wantBanned(source, false)
		w.syn(source, 1001)
		w.wantBanned(source, true)
	})
}

// TestNetworkOfASource: in IPv6 the /64 is the source.
func TestNetworkOfASource(t *testing.T) {
	w := newWorld(t, ipv6, Options{})
	addr := netip.MustParseAddr
	w.set(w.order("1001-1009/tcp", ""))
	w.syn(addr("2001:db8:51:a::1"), 1001)
	w.syn(addr("2001:db8:51:a::2"), 1001) // the same port again
	w.syn(addr("2001:db8:51:a:ffff::3"), 1002)
	w.wantBanned(addr("2001:db8:51:a::4"), false)
	w.syn(addr("2001:db8:51:a::2"), 1003)
	w.wantBanned(addr("2001:db8:51:a::4"), true)
	w.wantBanned(addr("2001:db8:51:b::1"), false)
}

// TestWindowSlides: three hits within the window count, however they lie to
// the hits before; three that do not, do not.
func TestWindowSlides(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.order("1001-1009/tcp", "")
		order.Policy.Window = 2 * time.Second
		w.set(order)
		in, out := w.source(2), w.source(3)
		start := time.Now()
		at := func(after time.Duration, source netip.Addr, port uint16) {
			time.Sleep(time.Until(start.Add(after))) // time itself is what is tested
			w.syn(source, port)
		}
		at(0, in, 1001)
		at(0, out, 1001)
		at(1100*time.Millisecond, in, 1002)
		at(1200*time.Millisecond, out, 1002)
		at(2300*time.Millisecond, in, 1003)
		at(2300*time.Millisecond, out, 1003)
		w.wantBanned(in, false)
		at(2500*time.Millisecond, in, 1004)
		w.wantBanned(in, true)
		at(3400*time.Millisecond, out, 1004) // the hit at 1.2 s is over
		w.wantBanned(out, false)
	})
}

// TestRepeatedPortStaysOneHit: a port that is tried again within the window, and
// again, is never counted anew.
func TestRepeatedPortStaysOneHit(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.order("1001-1009/tcp", "")
		order.Policy.Window = 2 * time.Second
		w.set(order)
		start := time.Now()
		for n := range 4 {
			time.Sleep(time.Until(start.Add(time.Duration(n) * 1200 * time.Millisecond))) // time itself is what is tested
			w.syn(w.source(2), 1001)
		}
		w.noStrikes()
	})
}

// TestFullMemory: what cannot be remembered must not be counted, or one port
// would be counted again and again.
func TestFullMemory(t *testing.T) {
	for _, f := range []ipFamily{ipv4, ipv6} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			const most = 512
			w := newWorld(t, f, Options{maxHits: most})
			w.set(w.order("1001-1009/tcp", ""))
			for range 3 {
				w.flood(1001, 5*most)
			}
			if got := w.struck(1); got == 0 || got > most {
				t.Errorf("%d sources with a strike, want 1 to %d", got, most)
			}
			if got := w.struck(2); got > 0 {
				t.Errorf("%d sources with two strikes for one port", got)
			}
			if bans := w.bans(); len(bans) > 0 {
				t.Errorf("%d sources banned for one port", len(bans))
			}
			late := w.source(2)
			w.syn(late, 1001, 1002, 1003, 1004)
			w.wantBanned(late, false)
		})
	}
}

// flood sends one SYN to a trap from each of many forged sources.
func (w *world) flood(port uint16, sources int) {
	w.t.Helper()
	s, err := w.Scanner.NewSender()
	w.check(err)
	defer s.Close()
	for n := range sources {
		from := netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})
		if w.server.Is6() {
			from = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0xf, byte(n >> 8), byte(n), 0, 15: 1})
		}
		w.check(s.Send(netlab.Packet{Src: from, SrcPort: 40000, Dst: w.server, DstPort: port, Flags: netlab.SYN}))
	}
	w.check(w.Fence(w.soon(), w.scanner))
}

// TestAllowedWithinABan: in IPv6 one who is allowed may live in the /64 of one who
// is banned.
func TestAllowedWithinABan(t *testing.T) {
	w := newWorld(t, ipv6, Options{})
	allowed, neighbour := netip.MustParseAddr("2001:db8:51:a::7"), netip.MustParseAddr("2001:db8:51:a::8")
	order := w.order("1001-1009/tcp", "")
	order.Allow = []netip.Prefix{netip.PrefixFrom(allowed, 128)}
	w.set(order)
	w.syn(allowed, 1004, 1005, 1006)
	w.wantBanned(neighbour, false)
	w.syn(neighbour, 1001, 1002, 1003)
	w.wantBanned(neighbour, true)
	w.wantOpen(allowed, protectedPort, true)
}

// TestAllowed: allowed sources neither count nor are shut out, and lose the ban
// they had.
func TestAllowed(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		source := w.source(2)
		order := w.order("1001-1009/tcp", "")
		w.set(order)
		w.syn(source, 1001, 1002, 1003)
		w.wantBanned(source, true)
		order.Allow = []netip.Prefix{portsnare.BanPrefix(source)}
		w.set(order)
		w.syn(source, 1004, 1005, 1006)
		w.wantBanned(source, false)
	})
}
