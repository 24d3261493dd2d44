package nftables

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
	"github.com/portsnare/portsnare/hostagent/nflog"
)

// sightings reads what is logged on the server.
func (w *world) sightings() <-chan portsnare.Sighting {
	w.t.Helper()
	seen := make(chan portsnare.Sighting, 10_000)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	reader := nflog.New(nflog.Options{Group: DefaultLogGroup})
	go func() {
		done <- w.Server.Do(func() error { return reader.Run(ctx, func(s portsnare.Sighting) { seen <- s }) })
	}()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("nflog: %v", err)
		}
	})
	for bound := false; !bound; time.Sleep(time.Millisecond) {
		w.check(w.Server.Do(func() error {
			list, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_log")
			bound = bytes.Contains(list, []byte(strconv.Itoa(DefaultLogGroup)))
			return err
		}))
	}
	return seen
}

func TestLog(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		seen := w.sightings()
		w.set(w.order("1001-1009/tcp,1001/udp", "2001/tcp"))
		source := w.source(2)
		w.syn(source, 1001, 1001, 2001)
		w.send(netlab.Packet{Proto: netlab.UDP, Src: source, DstPort: 1001})
		w.syn(source, 1001, 2001, 1002, 1003) // the last after the ban
		for _, want := range []portsnare.Sighting{
			{Source: source, Port: portsnare.Port{Protocol: portsnare.TCP, Number: 1001}},
			{Source: source, Port: portsnare.Port{Protocol: portsnare.TCP, Number: 2001}},
			{Source: source, Port: portsnare.Port{Protocol: portsnare.UDP, Number: 1001}},
			{Source: source, Port: portsnare.Port{Protocol: portsnare.TCP, Number: 1002}, Ban: true},
		} {
			got := <-seen
			if age := time.Since(got.At); age > time.Minute {
				t.Errorf("sighting is of %s ago", age)
			}
			got.At = time.Time{}
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("sighting (-want +got):\n%s", diff)
			}
		}
		w.check(w.Fence(w.soon(), w.scanner))
		if n := len(seen); n > 0 {
			t.Errorf("%d more sightings, want none: %v", n, <-seen)
		}
	})
}

// TestLogOfFlood: a flood of forged sources is logged up to a rate, a ban in
// the midst of it always.
func TestLogOfFlood(t *testing.T) {
	w := newWorld(t, ipv6, Options{})
	seen := w.sightings()
	w.set(w.order("1001-1009/tcp", ""))
	start := time.Now()
	w.flood(1001, 9000)
	scanner := netip.MustParseAddr("2001:db8:51:ffff::1")
	w.syn(scanner, 1001, 1002, 1003)
	took := time.Since(start)
	hits := 0
	for got := range seen {
		if got.Ban {
			if got.Source != scanner {
				t.Errorf("ban of %s, want %s", got.Source, scanner)
			}
			break
		}
		hits++
	}
	if most := 2000 + int(1000*took.Seconds()) + 1; hits > most || hits < 2000 {
		t.Errorf("%d hits logged in %s, want 2000 to %d", hits, took, most)
	}
	if bans := w.bans(); len(bans) != 1 {
		t.Errorf("%d bans, want 1", len(bans))
	}
}
