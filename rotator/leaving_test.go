package rotator

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portsnare/portsnare"
)

// behind is every port of the firewalls.
func behind(firewalls ...string) map[string]portsnare.PortSet {
	all := map[string]portsnare.PortSet{}
	for _, f := range firewalls {
		all[f] = portsnare.NewPortSet(portsnare.PortRange{Protocol: portsnare.TCP, From: 1, To: 65535})
	}
	return all
}

// twoGroups is the group web of web-1 and web-2, and the group db of old-1.
func twoGroups(t *testing.T, w *world, web Group) (Group, Group) {
	t.Helper()
	db := testGroup()
	web.Schedule = Schedule{Min: 10 * time.Hour, Max: 20 * time.Hour}
	db.Schedule = web.Schedule
	db.Name, db.Where.Firewall, db.Hosts = "db", "sg-2", []string{"old-1"}
	w.hosts["web-1"].behind, w.hosts["web-2"].behind, w.hosts["old-1"].behind = behind("sg-1"), behind("sg-1"), behind("sg-2")
	for range 3 { // their generations differ
		rotateAll(t, w.installation(web)...)
	}
	rotateAll(t, w.installation(web, db)...)
	return web, db
}

func rotateAll(t *testing.T, rotators ...*Rotator) {
	t.Helper()
	for _, r := range rotators {
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// watched are the ports that the host has armed.
func watched(w *world, host string) portsnare.PortSet { return w.hosts[host].armed.Traps.Ports() }

// A host moves between two groups that both stay. It watches what the former group
// had open until all of that has been closed once, whichever group acts first. The
// world demands it at every change.
func TestHostMovesBetweenGroups(t *testing.T) {
	for name, tt := range map[string]struct {
		first string
		keep  float64
	}{
		"the new group acts first": {first: "db"},
		"the former acts first":    {first: "web"},
		"half of the traps kept":   {first: "web", keep: 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.limits = portsnare.Limits{Rules: 200, PerFamily: true}
				group := testGroup()
				group.Traps.Spec.Keep = tt.keep
				web, db := twoGroups(t, w, group)
				web.Hosts, db.Hosts = []string{"web-1"}, []string{"old-1", "web-2"}
				left, m := w.open(), w.hosts["web-2"]
				m.behind, m.excused = behind("sg-2"), w.firewall("sg-2").open()
				m.behind["sg-1"], m.left = left, "sg-1"

				both := w.installation(web, db)
				if tt.first == "db" {
					err := both[1].Rotate(t.Context())
					if err == nil || !strings.Contains(err.Error(), "web-2: it is not known yet what is open for it in web") {
						t.Fatalf("db goes on before it is known what web has open: %v", err)
					}
				}
				if err := turn(t, both[0]); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					rotateAll(t, both[1])
				}
				if got, want := watched(w, "web-2"), left.Union(w.firewall("sg-2").open()); !got.Equal(want) {
					t.Errorf("web-2 watches %d ports, want %d", got.Len(), want.Len())
				}
				if got := both[0].Status().Leaving; !slices.Equal(got, []string{"web-2"}) {
					t.Errorf("leaving web: %q", got)
				}
				generation := m.armed.Generation
				both = w.installation(web, db) // restarted
				for range 2 {
					for _, r := range both {
						if err := turn(t, r); err != nil {
							t.Fatal(err)
						}
					}
				}
				if got := watched(w, "web-2"); !got.Equal(left.Union(w.firewall("sg-2").open())) {
					t.Errorf("after a restart web-2 watches %d ports", got.Len())
				}
				rotateAll(t, both...)
				if got, want := watched(w, "web-2"), w.firewall("sg-2").open(); !got.Equal(want) {
					t.Errorf("web-2 watches %d ports, want the %d of db", got.Len(), want.Len())
				}
				if got := placesOf(t, w); !slices.Equal(got, []string{"sg-1 tokyo/web web-1", "sg-2 tokyo/db old-1,web-2"}) {
					t.Errorf("places %q", got)
				}
				if len(both[0].Status().Leaving) > 0 || m.armed.Generation <= generation || m.armed.Group != "db" {
					t.Errorf("leaving %q, web-2 has generation %d of %s", both[0].Status().Leaving, m.armed.Generation, m.armed.Group)
				}
			})
		})
	}
}

// A host is dropped from a group that stays. It keeps its traps until the next
// rotation is complete, then it is disarmed and forgotten; a controller that is
// killed at any call changes nothing about it.
func TestHostLeavesGroup(t *testing.T) {
	for _, how := range []death{before, after, later} {
		for at := 0; ; at++ {
			died := false
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				group := smallGroup()
				rotated(t, w, group)
				w.hosts["web-2"].behind, w.hosts["web-2"].left = behind("sg-1"), "sg-1"
				group.Hosts = []string{"web-1"}
				w.calls, w.dieAt, w.death, w.land = 0, at, how, 5
				var err error
				died, err = attempt(func() error { return w.installation(group)[0].Rotate(t.Context()) })
				if !died && err != nil {
					t.Fatal(err)
				}
				w.dieAt = 0
				for range 3 {
					err = w.installation(group)[0].Rotate(t.Context()) // what lands late may be in the way once
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := watched(w, "web-2"); !got.Empty() {
					t.Errorf("killed %s call %d: web-2 still watches %d ports", how, at, got.Len())
				}
				if got := placesOf(t, w); !slices.Equal(got, []string{"sg-1 tokyo/web web-1"}) {
					t.Errorf("killed %s call %d: places %q", how, at, got)
				}
			})
			if !died && at > 0 {
				break
			}
		}
	}
}

// One rotation is enough, and a repair is not: it closes nothing that was open when
// the host left.
func TestHostIsReleasedByTheNextRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		group := smallGroup()
		group.Traps.Spec.Keep = 0.8
		rotated(t, w, group)
		left := w.open()
		w.hosts["web-2"].behind, w.hosts["web-2"].left = behind("sg-1"), "sg-1"
		group.Hosts = []string{"web-1"}
		w.empty()
		r := w.installation(group)[0]
		for range 2 {
			if err := turn(t, r); err != nil {
				t.Fatal(err)
			}
			if got := watched(w, "web-2"); !got.Equal(left) {
				t.Fatalf("a repair has web-2 watch %d ports, want %d", got.Len(), left.Len())
			}
		}
		rotateAll(t, r)
		if got := watched(w, "web-2"); !got.Empty() || !w.open().Intersect(left).Empty() {
			t.Errorf("web-2 watches %d ports; %d that it left behind are open", got.Len(), w.open().Intersect(left).Len())
		}
		group.Hosts = append(group.Hosts, "web-2") // it comes back
		w.hosts["web-2"].behind, w.hosts["web-2"].left = nil, ""
		w.hosts["web-2"].excused = w.open()
		rotateAll(t, w.installation(group)...)
		if got := watched(w, "web-2"); !got.Equal(w.open()) {
			t.Errorf("web-2 is back and watches %d ports, %d are open", got.Len(), w.open().Len())
		}
	})
}

// A host that was destroyed before it was dropped holds nobody up, and gets its
// order without traps should it ever come back.
func TestDestroyedHostLeavesGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		group := testGroup()
		rotated(t, w, group)
		w.hosts["web-2"].behind = map[string]portsnare.PortSet{}
		w.leave("web-2")
		if err := sleep(t.Context(), 2*silence); err != nil {
			t.Fatal(err)
		}
		group.Hosts = []string{"web-1"}
		rotateAll(t, w.installation(group)...)
		w.comeBack("web-2")
		if got := watched(w, "web-2"); !got.Empty() {
			t.Errorf("web-2 watches %d ports", got.Len())
		}
	})
}
