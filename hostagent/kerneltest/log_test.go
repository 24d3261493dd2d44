package kerneltest

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// TestLog: every hit is logged once and at once, with what it came to.
func TestLog(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.set(w.order())
		source := w.source()
		w.syn(source, 1001, 1001, 2001)
		w.send(netlab.Packet{Proto: netlab.UDP, Src: source, DstPort: 1001})
		w.syn(source, 1001, 2001, 1002, 1003) // the last after the ban
		want := []kernel.Sighting{
			{Source: source, Port: portsnare.Port{Protocol: portsnare.TCP, Number: 1001}},
			{Source: source, Port: portsnare.Port{Protocol: portsnare.TCP, Number: 2001}},
			{Source: source, Port: portsnare.Port{Protocol: portsnare.UDP, Number: 1001}},
			{Source: source, Port: portsnare.Port{Protocol: portsnare.TCP, Number: 1002}, Ban: true},
		}
		got := w.hits(source)
		for i := range got {
			if age := time.Since(got[i].At); age < 0 || age > time.Minute {
				t.Errorf("sighting of %s ago, want one of now", age)
			}
			got[i].At = time.Time{}
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("sightings (-want +got):\n%s", diff)
		}
		w.record("Log", "a bait, a datagram, a port tried again, a ban", "each hit once, the ban as such")
	})
}

// TestLogOfFlood: a flood of forged sources is logged up to a rate, a ban in the
// midst of it always.
func TestLogOfFlood(t *testing.T) {
	const burst, rate = 2000, 1000 // hits, hits a second
	forEach(t, defences, func(t *testing.T, w *world) {
		w.set(w.order())
		scanner := w.source()
		start := time.Now()
		w.flood(1005, 9000)
		w.syn(scanner, 1001, 1002, 1003)
		took := time.Since(start)
		banned := func() bool {
			seen := w.log.of(scanner)
			return len(seen) > 0 && seen[len(seen)-1].Ban
		}
		w.await("the ban in the log", banned)
		if got, most := w.log.len()-1, burst+int(rate*took.Seconds())+1; got < burst || got > most {
			t.Errorf("%d hits logged in %s, want %d to %d", got, took, burst, most)
		}
		if got := len(w.bans()); got != 1 {
			t.Errorf("%d bans, want 1", got)
		}
		w.record("Log", "a scanner in a flood of 9,000 sources", "a thousand hits a second, the ban in any case")
	})
}

// TestDropped: a ban counts what it keeps out, from the packet on that made it,
// and goes on counting when it is prolonged.
func TestDropped(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.set(w.order())
		source := w.source()
		w.syn(source, 1001, 1002, 1003, 1004)
		w.wantBanned(source, true) // one SYN more
		w.wantDropped(source, 3)
		w.do(func(ctx context.Context) error {
			return w.b.Ban(ctx, ban(portsnare.BanPrefix(source), time.Now().Add(time.Hour)))
		})
		w.wantDropped(source, 3)
		w.record("Log", "packets of a banned source", "counted, also when the ban is prolonged")
	})
}

// wantDropped fails the test unless so many packets of a banned source have been
// dropped.
func (w *world) wantDropped(source netip.Addr, want uint64) {
	w.t.Helper()
	w.do(func(ctx context.Context) error {
		dropped, err := w.b.Dropped(ctx)
		if got := dropped[portsnare.BanPrefix(source)]; got != want {
			w.t.Errorf("%d packets of %s dropped, want %d", got, source, want)
		}
		return err
	})
}
