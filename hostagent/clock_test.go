package hostagent

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
)

const year = 365 * 24 * time.Hour

// jumps are what a wall clock may do at once.
var jumps = map[string]time.Duration{
	"none": 0, "a minute ahead": time.Minute, "a quarter ahead": 15 * time.Minute, "a year ahead": year, "27 years ahead": 27 * year,
	"a minute behind": -time.Minute, "a quarter behind": -15 * time.Minute, "a year behind": -year, "27 years behind": -27 * year,
}

// wantBanned fails the test unless the kernel shuts the source out for so long.
func (w *world) wantBanned(t *testing.T, s source, left time.Duration) {
	t.Helper()
	until, held := w.kernel.bans[s]
	if got := time.Until(until); !held || (got-left).Abs() > 5*time.Second {
		t.Errorf("banned in the kernel: %t, for %s; want %s", held, got, left)
	}
}

// TestClockJumps: whatever the wall clock does, a ban lasts as long as the policy
// says, is told once, and ends.
func TestClockJumps(t *testing.T) {
	s := netip.MustParsePrefix("198.51.100.7/32")
	for name, jump := range jumps {
		for when, happens := range map[string]func(w *world){
			"while the agent runs": func(w *world) { w.ahead += jump },
			"while it is down":     func(w *world) { w.stop(); w.ahead += jump; w.start() },
			"at boot":              func(w *world) { w.reboot(0, jump) },
		} {
			t.Run(name+" "+when, func(t *testing.T) {
				inWorld(t, func(t *testing.T, w *world) {
					w.start()
					w.send(newOrder(1))
					w.see("198.51.100.7", "1001/tcp", true)
					w.wait(4 * time.Minute)
					happens(w)
					w.wait(10 * time.Second)
					w.wantBanned(t, s, 6*time.Minute-10*time.Second)
					last := w.link.bans[len(w.link.bans)-1]
					if got := last.Until.Sub(w.wall()); (got - 6*time.Minute).Abs() > 15*time.Second {
						t.Errorf("told until in %s by the wall clock; want 6 minutes less 10 s", got)
					}
					if got := last.Until.Sub(last.Since); got != 10*time.Minute || last.Count != 1 {
						t.Errorf("told: %s long, count %d; want 10 minutes and 1", got, last.Count)
					}
					if got := w.link.last(t); got.Bans != 1 || got.Repairs != 0 {
						t.Errorf("report: %d bans, %d repairs", got.Bans, got.Repairs)
					}
					w.wait(6 * time.Minute)
					if got := w.link.last(t).Bans; got != 0 || len(w.link.ended) != 1 {
						t.Errorf("after its end: %d bans reported, %d ends told", got, len(w.link.ended))
					}
					w.see("198.51.100.7", "1001/tcp", true)
					w.wantBanned(t, s, 20*time.Minute) // the count is kept
				})
			})
		}
	}
}

// TestClockJumpsAdopted: the same for a ban that is found in the kernel.
func TestClockJumpsAdopted(t *testing.T) {
	for name, jump := range jumps {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.start()
				w.send(newOrder(1))
				w.kernel.bans[nthSource(1)] = time.Now().Add(10 * time.Minute)
				w.wait(DefaultReconcile + time.Second)
				w.ahead += jump
				w.wait(time.Minute)
				w.wantBanned(t, nthSource(1), 9*time.Minute-4*time.Second)
				sources := map[source]int{}
				for _, ban := range w.link.bans {
					sources[ban.Source] = max(sources[ban.Source], ban.Count)
				}
				if len(sources) != 1 || sources[nthSource(1)] != 1 {
					t.Errorf("told: %v; want a first ban", w.link.bans)
				}
				w.wait(time.Hour)
				if len(w.kernel.order.Bans) != 0 || w.link.last(t).Bans != 0 {
					t.Error("it never ends")
				}
			})
		})
	}
}

// TestOff: the time that a host was off does not count, for only a clock that may
// be wrong knows of it.
func TestOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		w.see("198.51.100.7", "1001/tcp", true)
		w.wait(4 * time.Minute)
		w.reboot(3*time.Hour, 0)
		w.wantBanned(t, netip.MustParsePrefix("198.51.100.7/32"), 6*time.Minute)
	})
}

// TestDown: the time that only the agent was down counts.
func TestDown(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		w.see("198.51.100.7", "1001/tcp", true)
		w.stop()
		w.wait(4 * time.Minute)
		w.kernel.loseEverything()
		w.start()
		w.wantBanned(t, netip.MustParsePrefix("198.51.100.7/32"), 6*time.Minute)
		w.stop()
		w.wait(time.Hour)
		w.kernel.loseEverything()
		w.start()
		if len(w.kernel.bans) != 0 {
			t.Errorf("armed an hour later: %v", w.kernel.bans)
		}
	})
}

// TestClockBehindFirstFormat: the files of the first version do not say when they
// were saved.
func TestClockBehindFirstFormat(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) { // the bubble's clock is 26 years behind
		since := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
		w.plain(t, bansFile, []portsnare.Ban{{Host: "web-1", Source: nthSource(1), Since: since, Until: since.Add(10 * time.Minute), Count: 1}})
		w.plain(t, friendsFile, []portsnare.Friend{{Source: nthSource(2), Port: parsePort("22/tcp"), Until: since.Add(portsnare.FriendTime)}})
		w.plain(t, orderFile, newOrder(1))
		w.start()
		w.wantBanned(t, nthSource(1), 10*time.Minute)
		if got := time.Until(w.kernel.friends[friendAt(2, "22/tcp")]); got != portsnare.FriendTime {
			t.Errorf("friend for %s; want %s", got, portsnare.FriendTime)
		}
		if got := w.link.last(t).Generation; got != 1 {
			t.Errorf("armed: generation %s; want 1", got)
		}
		w.wait(10 * time.Second)
		for _, file := range []string{orderFile, orderCopy, bansFile, friendsFile} {
			text, err := os.ReadFile(filepath.Join(w.dir, file))
			if _, plain, unwrapErr := unwrap(file, text); err != nil || plain || unwrapErr != nil {
				t.Errorf("%s was not written anew with a seal: %v, %v", file, err, unwrapErr)
			}
		}
	})
}

// plain writes a file as the first version did.
func (w *world) plain(t *testing.T, name string, value any) {
	t.Helper()
	text, err := json.Marshal(value)
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, name), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestBoot(t *testing.T) {
	id, up := Boot()
	again, later := Boot()
	if id == "" || id != again || up <= 0 || later < up {
		t.Errorf("boot %q up %s, then %q up %s", id, up, again, later)
	}
}
