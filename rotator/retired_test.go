package rotator

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portsnare/portsnare"
)

// A group is retired and its hosts are there: they are disarmed a grace time after
// the cloud closed its last opening, and not before, although nobody waits for them.
func TestRetiredHostsAreDisarmedBehindTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		rotated(t, w, testGroup())
		w.hosts["web-1"].behind, w.hosts["web-2"].behind = behind("sg-1"), behind("sg-1")
		traps := watched(w, "web-1")
		var closedAt, disarmedAt time.Time
		w.fail = func(string) error {
			if closedAt.IsZero() && w.open().Empty() {
				closedAt = time.Now()
			}
			for _, host := range []string{"web-1", "web-2"} {
				if disarmedAt.IsZero() && !traps.Minus(watched(w, host)).Empty() {
					disarmedAt = time.Now()
				}
			}
			return nil
		}
		for range 2 {
			for _, r := range w.installation() {
				if err := turn(t, r); err != nil {
					t.Fatal(err)
				}
			}
		}
		if took := disarmedAt.Sub(closedAt); closedAt.IsZero() || took < testGroup().Grace {
			t.Errorf("disarmed %s after the cloud was closed, want at least %s", took, testGroup().Grace)
		}
		if !w.open().Empty() || !watched(w, "web-1").Empty() || !watched(w, "web-2").Empty() || len(placesOf(t, w)) > 0 {
			t.Errorf("%d ports open, web-1 watches %d, places %q", w.open().Len(), watched(w, "web-1").Len(), placesOf(t, w))
		}
	})
}

// The last controller was killed with a call on its way: what that opens once more is
// still armed on the hosts of the retired group, and closed.
func TestRetiredGroupKnowsWhatMayStillOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		rotated(t, w, testGroup())
		late := slices.Clone(w.rules)
		w.empty() // the call that opens them all has not landed yet
		w.hosts["web-1"].behind, w.hosts["web-2"].behind = behind("sg-1"), behind("sg-1")
		began, landed := time.Now(), false
		w.fail = func(string) error {
			if !landed && time.Since(began) > callLife/2 {
				w.rules, landed = late, true
			}
			return nil
		}
		for range 2 {
			for _, r := range w.installation() {
				if err := turn(t, r); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !landed || !w.open().Empty() || !watched(w, "web-1").Empty() {
			t.Errorf("%d ports open, web-1 watches %d", w.open().Len(), watched(w, "web-1").Len())
		}
	})
}

// A host of a retired group that belongs to another group by now keeps the order of
// that one: it watches what the retired group has open, too, until it is closed.
func TestHostOfRetiredGroupBelongsToAnother(t *testing.T) {
	for _, first := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			_, db := twoGroups(t, w, testGroup())
			db.Hosts = []string{"old-1", "web-2"}
			m := w.hosts["web-2"]
			m.behind, m.excused = behind("sg-1", "sg-2"), w.firewall("sg-2").open()
			left := w.open()
			all := w.installation(db)
			if len(all) != 2 {
				t.Fatalf("%d rotators", len(all))
			}
			before := portsnare.PortSet{}
			w.fail = func(string) error {
				if m.armed.Group == "db" && !before.Empty() && w.open().Equal(left) && !left.Minus(watched(w, "web-2")).Empty() {
					t.Fatal("web-2 is disarmed before web is closed")
				}
				before = watched(w, "web-2")
				return nil
			}
			for i := range 4 {
				if err := turn(t, all[(first+i)%2]); err != nil {
					t.Fatal(err)
				}
			}
			if o := m.armed; o.Group != "db" || !o.Traps.Ports().Equal(w.firewall("sg-2").open()) {
				t.Errorf("web-2 has an order of %s with %d traps, %d are open in db", o.Group, o.Traps.Ports().Len(), w.firewall("sg-2").open().Len())
			}
			if !watched(w, "web-1").Empty() || !w.open().Empty() || len(placesOf(t, w)) != 1 {
				t.Errorf("web-1 watches %d ports, %d are open, places %q", watched(w, "web-1").Len(), w.open().Len(), placesOf(t, w))
			}
		})
	}
}
