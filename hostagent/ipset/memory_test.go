package ipset

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// TestDropped counts what a ban keeps out, from the packet on that made it.
func TestDropped(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.set(w.order("1001-1009/tcp", ""))
		w.syn(w.source(2), 1001, 1002, 1003)
		w.wantBanned(w.source(2), true)
		w.wantDropped(w.source(2), 2) // the SYN that made the ban, the SYN of wantBanned
	})
}

// TestFullMemory: what cannot be remembered must not be counted, or one port
// would be counted again and again.
func TestFullMemory(t *testing.T) {
	for _, f := range []ipFamily{ipv4, ipv6} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			const buckets = 64
			w := newWorld(t, f, Options{hitBuckets: buckets})
			w.set(w.order("1001-1009/tcp", ""))
			if got := w.full(); len(got) > 0 {
				t.Errorf("full before the flood: %v", got)
			}
			w.flood(1001, 100*buckets)
			w.flood(1001, 100*buckets)
			w.flood(1001, 100*buckets)
			if want := []string{"hit" + familyOf(w.server).digit}; !slices.Equal(w.full(), want) {
				t.Errorf("full after the flood: %v, want %v", w.full(), want)
			}
			slot := familyOf(w.server).slot
			if got := strings.Count(w.output("ipset", "save", slot(1)), "add "); got == 0 || got > buckets*perBucket {
				t.Errorf("%d sources with a strike, want 1 to %d", got, buckets*perBucket)
			}
			if got := strings.Count(w.output("ipset", "save", slot(2)), "add "); got > 0 {
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

func (w *world) full() (full []string) {
	w.t.Helper()
	w.do(func(ctx context.Context) (err error) {
		full, err = w.b.Full(ctx)
		return err
	})
	return full
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
