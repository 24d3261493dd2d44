package rotator

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
)

// reconfigured returns a controller of a group under a new configuration of which it
// is the only group.
func reconfigured(t *testing.T, w *world, group Group) *Rotator {
	t.Helper()
	return w.controller(group, FormerPlaces(w.places(), []Group{group}, group)...)
}

func marksOf(c *cloud) (marks []portsnare.Mark) {
	for _, stray := range Strays(c.rules) {
		marks = append(marks, stray.Mark)
	}
	return marks
}

func placesOf(t *testing.T, w *world) (names []string) {
	t.Helper()
	for _, p := range w.places() {
		names = append(names, p.Firewall+" "+string(p.Mark)+" "+strings.Join(p.Hosts, ","))
	}
	return names
}

// A group is renamed, or gets another firewall, or both: what it had opened is
// closed, and until then armed. The world demands it at every change.
func TestGroupMoves(t *testing.T) {
	rename := func(g *Group) { g.Name = "www" }
	move := func(g *Group) { g.Where.Firewall = "sg-2" }
	for name, tt := range map[string]struct {
		change func(*Group)
		places []string
	}{
		"renamed":       {rename, []string{"sg-1 tokyo/www web-1,web-2"}},
		"moved":         {move, []string{"sg-2 tokyo/web web-1,web-2"}},
		"both":          {func(g *Group) { rename(g); move(g) }, []string{"sg-2 tokyo/www web-1,web-2"}},
		"hosts changed": {func(g *Group) { move(g); g.Hosts = []string{"web-2"} }, []string{"sg-2 tokyo/web web-2"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.limits = portsnare.Limits{Rules: 200, PerFamily: true}
				rotated(t, w, testGroup())
				group := testGroup()
				tt.change(&group)
				if len(group.Hosts) == 1 {
					w.hosts["web-1"].behind = behind("sg-1")
				}
				for _, r := range w.installation(group) {
					if err := turn(t, r); err != nil {
						t.Fatal(err)
					}
				}
				here := w.firewall(group.Where.Firewall)
				if got, want := marksOf(here), []portsnare.Mark{group.Mark()}; !cmp.Equal(got, want) {
					t.Errorf("%s holds openings of %q, want %q", here.id, got, want)
				}
				if here != w.cloud && !w.open().Empty() {
					t.Errorf("still open in %s: %s", w.id, w.open())
				}
				if got := placesOf(t, w); !cmp.Equal(got, tt.places) {
					t.Errorf("places %q, want %q", got, tt.places)
				}
				for _, host := range group.Hosts {
					if got := w.hosts[host].armed.Traps.Ports(); !got.Equal(here.open()) {
						t.Errorf("%s watches %d ports, %d are open", host, got.Len(), here.open().Len())
					}
				}
			})
		})
	}
}

// Where the former firewall cannot be reached, the hosts keep what they watch, the
// new configuration waits, and status says what to do.
func TestGroupCannotLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		rotated(t, w, testGroup())
		group := testGroup()
		group.Where.Firewall = "sg-2"
		r := reconfigured(t, w, group)
		r.former[0].Firewall = denied{}
		armed := w.hosts["web-1"].armed.Serial
		for range 2 {
			if err := turn(t, r); !errors.Is(err, portsnare.Denied) {
				t.Fatalf("error %v, want denied", err)
			}
		}
		status := r.Status()
		if !strings.Contains(status.Problem, "close the traps of web in sg-1") || !strings.Contains(status.Hint, "provider main") {
			t.Errorf("problem %q, hint %q", status.Problem, status.Hint)
		}
		if w.hosts["web-1"].armed.Serial != armed || !w.firewall("sg-2").open().Empty() {
			t.Error("the hosts or the new firewall were changed")
		}
		if err := turn(t, reconfigured(t, w, group)); err != nil { // the credential works again
			t.Fatal(err)
		}
		if !w.open().Empty() {
			t.Errorf("still open in sg-1: %s", w.open())
		}
	})
}

// denied is a firewall whose credential has been revoked.
type denied struct{ Firewall }

func (denied) Rules(context.Context) ([]portsnare.Rule, error) {
	return nil, &portsnare.Error{Kind: portsnare.Denied, Op: "read rules of", Subject: "sg-1"}
}

// A group is taken out of the configuration: everything is closed, then its hosts
// are disarmed, then its place is forgotten; killed at any call, too.
func TestGroupIsRetired(t *testing.T) {
	for _, how := range []death{before, after, later} {
		for at := 0; ; at++ {
			died := false
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				rotated(t, w, smallGroup())
				places, err := Places(t.Context(), w)
				if err != nil {
					t.Fatal(err)
				}
				left := RetiredPlaces(places, []Group{{Name: "db", Hosts: []string{"db-1"}}})
				if len(left) != 1 {
					t.Fatalf("places %+v", left)
				}
				group := smallGroup()
				group.Hosts, group.Retired, group.Schedule = left[0].Hosts, true, Schedule{}
				w.calls, w.dieAt, w.death, w.land = 0, at, how, 5
				died, err = attempt(func() error { return turn(t, w.controller(group)) })
				if !died && err != nil {
					t.Fatal(err)
				}
				w.dieAt = 0
				converge(t, w, group)
				converge(t, w, group)
				if !w.open().Empty() || !w.hosts["web-1"].armed.Traps.Ports().Empty() {
					t.Errorf("%d ports open, %d armed", w.open().Len(), w.hosts["web-1"].armed.Traps.Ports().Len())
				}
				if got := placesOf(t, w); len(got) > 0 {
					t.Errorf("places %q", got)
				}
			})
			if !died && at > 0 {
				break
			}
		}
	}
}

// Hosts that are gone for good keep nothing open.
func TestRetiredGroupWithoutHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		rotated(t, w, testGroup())
		w.leave("web-1")
		w.leave("web-2")
		group := testGroup()
		group.Retired, group.OnMissing = true, Proceed
		converge(t, w, group)
		converge(t, w, group)
		if !w.open().Empty() || len(placesOf(t, w)) > 0 {
			t.Errorf("%d ports open, places %q", w.open().Len(), placesOf(t, w))
		}
	})
}

// The place is stored before the first opening.
func TestPlaceIsRememberedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fail = func(call string) error {
			if call == "apply" && len(placesOf(t, w)) == 0 {
				t.Fatal("the cloud is written to and no place is stored")
			}
			return nil
		}
		rotated(t, w, testGroup())
	})
}

func TestPlacesOfOthers(t *testing.T) {
	place := func(firewall, group string, hosts ...string) Place {
		return Place{Where: Where{Kind: "aws", Firewall: firewall}, Mark: portsnare.NewMark("tokyo", group), Group: group, Hosts: hosts}
	}
	group := func(firewall, name string, hosts ...string) Group {
		return Group{Owner: "tokyo", Name: name, Hosts: hosts, Where: Where{Kind: "aws", Provider: "renamed", Firewall: firewall}}
	}
	places := []Place{place("sg-1", "web", "a", "b"), place("sg-2", "old", "c", "d"), place("sg-3", "gone", "e")}
	groups := []Group{group("sg-1", "web", "a", "b"), group("sg-4", "db", "c")}
	if got := FormerPlaces(places, groups, groups[0]); len(got) > 0 {
		t.Errorf("web has left %+v", got)
	}
	if got := FormerPlaces(places, groups, groups[1]); len(got) != 1 || got[0].Firewall != "sg-2" {
		t.Errorf("db has left %+v", got)
	}
	got := RetiredPlaces(places, groups)
	if len(got) != 2 || !cmp.Equal(got[0].Hosts, []string{"d"}) || !cmp.Equal(got[1].Hosts, []string{"e"}) {
		t.Errorf("retired %+v", got)
	}
}

// Rules of the first version name the group alone: they count as ours, stay armed
// and are replaced. Those of others are told and left alone.
func TestFirstMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits = portsnare.Limits{Rules: 200, PerFamily: true}
		r := rotated(t, w, testGroup())
		for i := range w.rules {
			if w.rules[i].Mark != "" {
				w.rules[i].Mark = "web"
			}
		}
		for i := range 20 {
			w.add(portsnare.Opening{Range: port(uint16(40000 + 2*i)).Range(), Source: portsnare.AnySource()[0]},
				portsnare.Mark([]string{"osaka/web", "db"}[i%2]))
		}
		if err := r.Repair(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []portsnare.Mark{"tokyo/web", "osaka/web", "db"}
		if got := marksOf(w.cloud); !cmp.Equal(got, want) {
			t.Errorf("marks %q, want %q", got, want)
		}
		strays := []Stray{{"osaka/web", 10}, {"db", 10}}
		if got := r.Status().Strays; !cmp.Equal(got, strays) {
			t.Errorf("strays %+v, want %+v", got, strays)
		}
		settled(t, w)
	})
}

// Marks are told apart as long as there are few.
func TestStraysAreBounded(t *testing.T) {
	var rules []portsnare.Rule
	for i := range 100 {
		rules = append(rules, portsnare.Rule{Mark: portsnare.NewMark("osaka", strings.Repeat("x", i+1))})
	}
	got := Strays(rules)
	if len(got) != maxStrays+1 || got[0] != (Stray{"", 100 - maxStrays}) {
		t.Errorf("%d strays, first %+v", len(got), got[0])
	}
}
