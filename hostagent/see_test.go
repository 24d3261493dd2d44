package hostagent

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

func compare[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	opts := []cmp.Option{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
	if diff := cmp.Diff(want, got, opts...); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestBanIsExplained(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		begin := time.Now().UTC()
		hit := func(after time.Duration, port string, class portsnare.Class) portsnare.Hit {
			return portsnare.Hit{Host: "web-1", Source: netip.MustParseAddr("198.51.100.7"),
				Port: parsePort(port), Class: class, Generation: 1, At: begin.Add(after)}
		}
		w.see("198.51.100.7", "1001/tcp", false) // more than an hour before the last: no strike any more
		w.wait(30 * time.Minute)
		w.see("198.51.100.7", "23/tcp", false)
		w.see("198.51.100.8", "1005/tcp", false) // somebody else
		w.wait(40 * time.Minute)
		w.see("198.51.100.7", "1002/tcp", false)
		w.wait(time.Minute)
		w.see("198.51.100.7", "1003/tcp", true)

		now := time.Now().UTC()
		compare(t, "bans told", []portsnare.Ban{{
			Host: "web-1", Source: netip.MustParsePrefix("198.51.100.7/32"),
			Since: now, Until: now.Add(10 * time.Minute), Count: 1,
			Hits: []portsnare.Hit{
				hit(30*time.Minute, "23/tcp", portsnare.Bait),
				hit(70*time.Minute, "1002/tcp", portsnare.Secret),
				hit(71*time.Minute, "1003/tcp", portsnare.Secret),
			},
		}}, w.link.bans)
		if got := len(w.link.hits); got != 5 {
			t.Errorf("%d hits told; want 5, the last strike is a hit too", got)
		}
	})
}

// Two addresses of one /64 are one source.
func TestIPv6SourceIsANetwork(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		w.see("2001:db8::1", "1001/tcp", false)
		w.see("2001:db8::2", "1002/tcp", false)
		w.see("2001:db8::3", "1003/tcp", true)
		if len(w.link.bans) != 1 || w.link.bans[0].Source != netip.MustParsePrefix("2001:db8::/64") || len(w.link.bans[0].Hits) != 3 {
			t.Errorf("bans told: %v", w.link.bans)
		}
	})
}

func TestLateHitBelongsToTheFormerGeneration(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		w.send(newOrder(2))
		w.see("198.51.100.7", "1001/tcp", false)
		w.see("198.51.100.7", "2001/tcp", false)
		w.see("198.51.100.7", "9999/tcp", false) // no trap that we know of
		type what struct {
			class      portsnare.Class
			generation portsnare.Generation
		}
		var got []what
		for _, hit := range w.link.hits {
			got = append(got, what{hit.Class, hit.Generation})
		}
		if diff := cmp.Diff([]what{{portsnare.Secret, 1}, {portsnare.Secret, 2}, {"", 2}}, got, cmp.AllowUnexported(what{})); diff != "" {
			t.Errorf("hits (-want +got):\n%s", diff)
		}
	})
}

func TestRepeatOffender(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		scanner := netip.MustParsePrefix("198.51.100.7/32")
		w.start()
		w.send(newOrder(1))
		for n, want := range []time.Duration{10 * time.Minute, 20 * time.Minute, 40 * time.Minute} {
			w.see("198.51.100.7", "1001/tcp", true)
			ban := w.link.bans[0]
			if got := ban.Until.Sub(ban.Since); got != want || ban.Count != n+1 {
				t.Errorf("ban %d: %s, count %d; want %s", n+1, got, ban.Count, want)
			}
			if got := time.Until(w.kernel.bans[scanner]); got != want {
				t.Errorf("ban %d: %s in the kernel; want %s", n+1, got, want)
			}
			w.wait(want + time.Minute)
			w.restart() // the count is kept
		}
		w.wait(probation)
		w.see("198.51.100.7", "1001/tcp", true)
		if got := w.link.bans[len(w.link.bans)-1].Count; got != 1 {
			t.Errorf("count after the probation: %d; want 1", got)
		}
	})
}

func TestBanInForceNeedsNoSecond(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		w.see("198.51.100.7", "1001/tcp", true)
		w.see("198.51.100.7", "1002/tcp", true) // was on its way on another CPU
		if got := len(w.link.bans); got != 1 {
			t.Errorf("%d bans told; want 1", got)
		}
	})
}

// The agent was killed between the kernel's ban and its own notice, or the
// log line was lost.
func TestBanFoundInTheKernel(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		source := netip.MustParsePrefix("198.51.100.7/32")
		begin := time.Now().UTC()
		w.kernel.bans[source] = begin.Add(10 * time.Minute)
		w.wait(DefaultReconcile)
		if len(w.link.bans) != 0 {
			t.Error("adopted at first sight: its sighting may be on its way")
		}
		w.wait(DefaultReconcile)
		compare(t, "bans told", []portsnare.Ban{{
			Host: "web-1", Source: source, Since: begin, Until: begin.Add(10 * time.Minute), Count: 1,
		}}, w.link.bans)
		w.wait(5 * DefaultReconcile)
		if got := len(w.link.bans); got != 1 {
			t.Errorf("%d bans told in the end; want 1", got)
		}
	})
}

func TestAllowLiftsABan(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		w.see("198.51.100.7", "1001/tcp", true)
		order := newOrder(1)
		order.Allow = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
		w.send(order)
		if got := w.kernel.order.Bans; len(got) != 0 {
			t.Errorf("bans of allowed sources are ordered: %v", got)
		}
		if got := w.link.last(t).Bans; got != 0 {
			t.Errorf("%d bans are reported; want none", got)
		}
	})
}

// A trap that stood before a rotation is the older generation's until that one is
// disarmed; a port that is a trap of both is the newer's from then on.
func TestGenerationOfATrapDuringARotation(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		older, newer := newOrder(1), newOrder(2)
		newer.Traps.Secret = newer.Traps.Secret.Union(parsePorts("1005/tcp")) // and both have bait
		both := newer
		both.Traps = newer.Traps.Union(older.Traps)
		generations := func() (list []portsnare.Generation) {
			before := len(w.link.hits)
			for _, port := range []string{"1001/tcp", "1005/tcp", "23/tcp", "2001/tcp"} {
				w.see("198.51.100.7", port, false)
			}
			for _, hit := range w.link.hits[before:] {
				list = append(list, hit.Generation)
			}
			return list
		}
		w.start()
		w.send(older)
		compare(t, "before", []portsnare.Generation{1, 1, 1, 1}, generations())
		w.send(both)
		compare(t, "both armed", []portsnare.Generation{1, 1, 1, 2}, generations())
		other := both
		other.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		w.send(other)
		w.restart()
		compare(t, "both armed, after another allow list and a restart", []portsnare.Generation{1, 1, 1, 2}, generations())
		w.send(newer)
		compare(t, "the newer alone", []portsnare.Generation{1, 2, 2, 2}, generations())
	})
}

// A host that was away during a rotation gets the newer generation at once.
func TestGenerationOfATrapWithoutARotation(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		w.send(newOrder(2))
		w.see("198.51.100.7", "23/tcp", false)
		if got := w.link.hits[0].Generation; got != 2 {
			t.Errorf("a trap of both: generation %s; want 2", got)
		}
	})
}

// A ban of which no sighting told keeps its end although the policy has become
// shorter, and is told once.
func TestAdoptedBanOfALongerPolicy(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1)) // bans for 10 minutes
		begin := time.Now().UTC()
		source := netip.MustParsePrefix("198.51.100.7/32")
		w.kernel.bans[source] = begin.Add(6 * time.Hour)
		w.wait(30 * time.Hour)
		w.restart()
		w.wait(time.Hour)
		if len(w.link.bans) != 0 {
			t.Errorf("told after its end: %v", w.link.bans)
		}
		bans, err := LoadBans(w.dir)
		if err != nil || len(bans) != 1 || bans[0].Count != 1 || !bans[0].Until.Equal(begin.Add(6*time.Hour)) {
			t.Errorf("saved: %v, %v; want one first ban of six hours", bans, err)
		}
	})
}

// The same with a restart in the middle: the ban keeps count and end.
func TestBanSurvivesARestart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		w.see("198.51.100.7", "1001/tcp", true)
		told := w.link.bans[0]
		shorter := newOrder(1)
		shorter.Policy.BanMin, shorter.Policy.BanMax = time.Minute, time.Minute
		w.send(shorter)
		w.wait(5 * time.Minute)
		w.restart()
		w.wait(time.Minute)
		compare(t, "bans told after the restart", []portsnare.Ban{told}, w.link.bans)
		w.wait(10 * time.Minute)
		if len(w.link.bans) != 1 || len(w.link.ended) != 1 {
			t.Errorf("%d bans told, %d ended; want one each", len(w.link.bans), len(w.link.ended))
		}
	})
}

// Bans found in the kernel are told once each, and with one line of the log.
func TestManyBansFoundInTheKernel(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		for n := range 12_000 {
			w.kernel.bans[nthSource(n)] = time.Now().Add(20 * time.Hour)
		}
		lines := strings.Count(w.log.String(), "\n")
		w.wait(10 * time.Minute)
		if len(w.link.bans) != 12_000 {
			t.Errorf("%d bans told; want each once", len(w.link.bans))
		}
		if got := strings.Count(w.log.String(), "\n") - lines; got != 1 {
			t.Errorf("%d lines of log; want 1", got)
		}
	})
}

// Many repeated bans at once are prolonged at once, and the log names a few.
func TestFloodOfRepeatOffenders(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const n = 500
		var past []portsnare.Ban
		for i := range n {
			past = append(past, portsnare.Ban{Host: "web-1", Source: nthSource(i), Since: time.Now().Add(-11 * time.Minute), Until: time.Now().Add(-time.Minute), Count: 1})
		}
		w.plain(t, bansFile, past)
		w.start()
		w.send(newOrder(1))
		gate := make(chan struct{})
		w.kernel.stuck = gate // the agent is busy while they come
		w.wait(DefaultReconcile)
		for i := range n {
			w.kernel.bans[nthSource(i)] = time.Now().Add(10 * time.Minute)
			w.sightings.seen <- kernel.Sighting{Ban: true, Source: nthSource(i).Addr(), Port: parsePort("1001/tcp"), At: time.Now()}
		}
		w.kernel.stuck = nil
		close(gate)
		w.wait(DefaultReconcile)
		if len(w.link.bans) != n || w.kernel.calls > 5 {
			t.Errorf("%d bans told, in %d calls of the backend; want %d in a few", len(w.link.bans), w.kernel.calls, n)
		}
		if got := time.Until(w.kernel.bans[nthSource(n-1)]); got < 19*time.Minute {
			t.Errorf("the last one is shut out for %s; want 20 minutes", got)
		}
		if got := strings.Count(w.log.String(), msgBanned); got > banLineBurst+2 {
			t.Errorf("%d bans were logged with a line of their own; want at most %d", got, banLineBurst+2)
		}
		if !strings.Contains(w.log.String(), msgBannedMore) {
			t.Error("the others were not counted in the log")
		}
	})
}
