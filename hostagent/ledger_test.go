package hostagent

import (
	"net/netip"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// nthSource returns a different source for every n.
func nthSource(n int) source {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)}), 32)
}

func TestLedgerKeepsTheLonger(t *testing.T) {
	s := nthSource(1)
	for _, test := range []struct {
		name  string
		until []time.Duration
		want  time.Duration
	}{
		{"one", []time.Duration{1}, 1},
		{"a longer one", []time.Duration{1, 2}, 2},
		{"a shorter one", []time.Duration{2, 1}, 2},
	} {
		l := newLedger()
		for _, until := range test.until {
			l.enter(portsnare.Ban{Source: s, Until: noon.Add(until)})
		}
		if got := l.last(s, noon).Until.Sub(noon); got != test.want {
			t.Errorf("%s: until %d; want %d", test.name, got, test.want)
		}
	}
}

// What is in force is never forgotten; what has ended has a bound of its own.
func TestLedgerIsBounded(t *testing.T) {
	l := newLedger()
	for n := range kernel.MaxBans {
		if !l.enter(portsnare.Ban{Source: nthSource(n), Since: noon, Until: noon.Add(time.Duration(n+1) * time.Second), Hits: make([]portsnare.Hit, 1)}) {
			t.Fatalf("ban %d did not fit", n)
		}
	}
	more := netip.MustParsePrefix("203.0.113.1/32")
	if l.enter(portsnare.Ban{Source: more, Until: noon.AddDate(1, 0, 0)}) {
		t.Error("more bans fit than the kernel holds")
	}
	if !l.enter(portsnare.Ban{Source: nthSource(5), Until: noon.AddDate(1, 0, 0)}) {
		t.Error("a ban that is known cannot be prolonged")
	}
	if !l.enter(portsnare.Ban{Source: netip.MustParsePrefix("2001:db8::/64"), Until: noon.Add(time.Second)}) {
		t.Error("a ban of the other family did not fit")
	}
	if got := len(l.inOrder()); got != kernel.MaxBans+1 {
		t.Errorf("%d bans in force; want %d", got, kernel.MaxBans+1)
	}
	if l.explained > maxExplained {
		t.Errorf("%d bans keep their hits; want %d at most", l.explained, maxExplained)
	}

	ended := l.prune(noon.AddDate(0, 0, 1))
	if len(ended) != kernel.MaxBans || len(l.active) != 1 || l.four != 1 {
		t.Errorf("%d have ended, %d are in force, %d of IPv4; want %d, 1 and 1", len(ended), len(l.active), l.four, kernel.MaxBans)
	}
	if len(l.past) > maxPast || len(l.past) < maxPast*8/10 {
		t.Errorf("%d are remembered; want %d at most, and not much less", len(l.past), maxPast)
	}
	if l.last(nthSource(kernel.MaxBans-1), noon.AddDate(0, 0, 1)).Until.IsZero() {
		t.Error("the ban that ended last was forgotten")
	}
}

func TestLedgerForgets(t *testing.T) {
	s := nthSource(1)
	l := newLedger()
	l.enter(portsnare.Ban{Source: s, Until: noon, Count: 3, Hits: []portsnare.Hit{{}}})
	l.prune(noon.Add(-time.Second))
	if got := l.last(s, noon); len(got.Hits) != 1 {
		t.Error("the reasons of a ban in force are forgotten")
	}
	if ended := l.prune(noon); len(ended) != 1 || ended[0] != s {
		t.Errorf("ended: %v; want %s", ended, s)
	}
	if got := l.last(s, noon); got.Hits != nil || got.Count != 3 || l.explained != 0 {
		t.Errorf("a ban that is over: %+v; want its count alone", got)
	}
	if ended := l.prune(noon.Add(probation + time.Second)); len(l.past) != 0 || len(ended) != 0 {
		t.Error("it is never forgotten, or ends twice")
	}
}

func TestLedgerLift(t *testing.T) {
	for _, test := range []struct {
		allow, source string
		lifted        bool
	}{
		{"198.51.100.7/32", "198.51.100.7/32", true},
		{"198.51.100.0/24", "198.51.100.7/32", true},
		{"198.51.101.0/24", "198.51.100.7/32", false},
		{"2001:db8::/32", "2001:db8:0:1::/64", true},
		{"2001:db8:0:1::1/128", "2001:db8:0:1::/64", false}, // the rest of the network stays out
	} {
		l := newLedger()
		s := netip.MustParsePrefix(test.source)
		l.enter(portsnare.Ban{Source: s, Until: noon})
		lifted := l.lift([]netip.Prefix{netip.MustParsePrefix(test.allow)})
		if got := len(l.active) == 0 && len(lifted) == 1; got != test.lifted {
			t.Errorf("allow %s, ban %s: lifted %v; want %v", test.allow, test.source, got, test.lifted)
		}
	}
}

func TestTrailsAreBounded(t *testing.T) {
	trails := newTrails()
	for n := range maxTrails + 10 {
		trails.add(nthSource(n), portsnare.Hit{At: noon})
		trails.add(nthSource(0), portsnare.Hit{At: noon}) // comes again and again
	}
	if len(trails.bySource) != maxTrails || trails.fresh.Len() != maxTrails {
		t.Errorf("%d sources, %d in order; want %d", len(trails.bySource), trails.fresh.Len(), maxTrails)
	}
	if trails.since(nthSource(0), noon, 1) == nil {
		t.Error("a source that comes again and again was forgotten")
	}
	if trails.since(nthSource(1), noon, 1) != nil {
		t.Error("the source that was away longest was kept")
	}
	for port := range uint16(trailLen + 5) {
		trails.add(nthSource(0), portsnare.Hit{Port: portsnare.Port{Protocol: portsnare.TCP, Number: port}, At: noon})
	}
	if got := len(trails.since(nthSource(0), noon, 100)); got != trailLen {
		t.Errorf("%d hits of one source; want %d", got, trailLen)
	}
}

func TestTrailHoldsDistinctTraps(t *testing.T) {
	trails := newTrails()
	for i, port := range []uint16{1, 2, 1} {
		trails.add(nthSource(0), portsnare.Hit{Port: portsnare.Port{Number: port}, At: noon.Add(time.Duration(i))})
	}
	got := trails.since(nthSource(0), noon, 3)
	if len(got) != 2 || got[0].Port.Number != 2 || got[1].Port.Number != 1 || !got[1].At.Equal(noon.Add(2)) {
		t.Errorf("hits: %v; want 2 and then 1, as of its last time", got)
	}
}
