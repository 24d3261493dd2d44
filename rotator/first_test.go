package rotator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/portsnare/portsnare"
)

// firstVersion makes of the world what the first version leaves: marks that name the
// group alone, a state without a checksum, and no list of places.
func firstVersion(t *testing.T, w *world) {
	t.Helper()
	for i := range w.rules {
		w.rules[i].Mark = portsnare.Mark(w.rules[i].Mark.Group())
	}
	delete(w.disk, placesKey)
	delete(w.revs, placesKey)
	text := w.disk[stateKey("web")]
	text = append(text[:bytes.LastIndex(text, []byte(sumKey))], '}')
	if !json.Valid(text) {
		t.Fatalf("the state is no JSON: %s", text)
	}
	w.disk[stateKey("web")] = text
}

// A group goes on where the first version left it.
func TestUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits = portsnare.Limits{Rules: 200, PerFamily: true}
		rotated(t, w, testGroup())
		firstVersion(t, w)
		for _, r := range w.installation(testGroup()) {
			if err := turn(t, r); err != nil {
				t.Fatal(err)
			}
		}
		if settled(t, w).Unplaced || len(placesOf(t, w)) != 1 {
			t.Errorf("places %q", placesOf(t, w))
		}
	})
}

// The firewall of a group was changed with the upgrade: nothing is disarmed, status
// says what to do, over restarts, and putting the former firewall back helps.
func TestFirewallChangedWithTheUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits = portsnare.Limits{Rules: 200, PerFamily: true}
		rotated(t, w, testGroup())
		firstVersion(t, w)
		moved := testGroup()
		moved.Where.Firewall = "sg-2"
		for range 3 {
			r := w.installation(moved)[0]
			if err := turn(t, r); !errors.Is(err, portsnare.Invalid) {
				t.Fatalf("error %v, want invalid", err)
			}
			status := r.Status()
			if !strings.Contains(status.Problem, "none is in sg-2") || !strings.Contains(status.Hint, "mark web;") {
				t.Errorf("problem %q, hint %q", status.Problem, status.Hint)
			}
		}
		if !watched(w, "web-1").Equal(w.open()) || !w.firewall("sg-2").open().Empty() {
			t.Errorf("web-1 watches %d ports, %d are open", watched(w, "web-1").Len(), w.open().Len())
		}
		for _, group := range []Group{testGroup(), moved} { // back, and once more away
			for _, r := range w.installation(group) {
				if err := turn(t, r); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !w.open().Empty() || w.firewall("sg-2").open().Empty() {
			t.Error("the group has not moved")
		}
	})
}

// The firewall is the same and somebody has emptied it: a rotation that a person asks
// for settles it.
func TestFirewallEmptiedBeforeTheUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		rotated(t, w, testGroup())
		w.empty()
		firstVersion(t, w)
		r := w.installation(testGroup())[0]
		if err := turn(t, r); !errors.Is(err, portsnare.Invalid) {
			t.Fatalf("error %v, want invalid", err)
		}
		rotateAll(t, r)
		for _, r := range w.installation(testGroup()) {
			if err := turn(t, r); err != nil {
				t.Fatal(err)
			}
		}
		settled(t, w)
	})
}

// archive is the world as a store that can be searched.
type archive struct{ *world }

func (a archive) Keys() []string { return slices.Sorted(maps.Keys(a.disk)) }

func (a archive) Order(_ context.Context, host string) (portsnare.Order, error) {
	if order := a.hosts[host].sent; order.Host != "" {
		return order, nil
	}
	return portsnare.Order{}, &portsnare.Error{Kind: portsnare.NotFound, Op: "read the order for", Subject: host}
}

func unplaced(t *testing.T, w *world, groups ...Group) []Place {
	t.Helper()
	lost, err := Unplaced(t.Context(), archive{w}, []string{"web-1", "web-2", "old-1"}, w.places(), groups)
	if err != nil {
		t.Fatal(err)
	}
	return lost
}

// renamed is the configuration after the upgrade, with another name for the group.
func renamed() Group {
	g := testGroup()
	g.Name = "www"
	return g
}

// A group was renamed with the upgrade, and its traps are found: they stay armed until
// they are closed, and the state of the first version is settled.
func TestRenamedWithTheUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits = portsnare.Limits{Rules: 200, PerFamily: true}
		rotated(t, w, testGroup())
		firstVersion(t, w)
		lost := unplaced(t, w, renamed())
		if len(lost) != 1 || lost[0].Where != Unknown || lost[0].Mark != "web" || !slices.Equal(lost[0].Hosts, []string{"web-1", "web-2"}) {
			t.Fatalf("unplaced %+v", lost)
		}
		lost[0].Where = testGroup().Where
		if err := Placed(t.Context(), w, lost[0]); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for _, r := range w.installation(renamed()) {
				if err := turn(t, r); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := marksOf(w.cloud); !slices.Equal(got, []portsnare.Mark{"tokyo/www"}) || !watched(w, "web-1").Equal(w.open()) {
			t.Errorf("openings of %q, web-1 watches %d ports, %d are open", got, watched(w, "web-1").Len(), w.open().Len())
		}
		if got := placesOf(t, w); !slices.Equal(got, []string{"sg-1 tokyo/www web-1,web-2"}) || len(unplaced(t, w, renamed())) > 0 {
			t.Errorf("places %q, unplaced %+v", got, unplaced(t, w, renamed()))
		}
	})
}

// A group was removed with the upgrade, and its traps are found: they are closed, its
// hosts are disarmed, and the place is forgotten.
func TestRemovedWithTheUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		rotated(t, w, testGroup())
		firstVersion(t, w)
		lost := unplaced(t, w)[0]
		lost.Where = testGroup().Where
		if err := Placed(t.Context(), w, lost); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for _, r := range w.installation() {
				if err := turn(t, r); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !w.open().Empty() || !watched(w, "web-1").Empty() || len(placesOf(t, w)) > 0 || len(unplaced(t, w)) > 0 {
			t.Errorf("%d ports open, web-1 watches %d, places %q", w.open().Len(), watched(w, "web-1").Len(), placesOf(t, w))
		}
	})
}

// A group was renamed and moved with the upgrade, so nobody knows where its traps are:
// whatever group has its hosts by now waits, and they stay armed.
func TestRenamedAndMovedWithTheUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		rotated(t, w, testGroup())
		firstVersion(t, w)
		moved := renamed()
		moved.Where.Firewall = "sg-2"
		former := FormerPlaces(unplaced(t, w, moved), []Group{moved}, moved)
		if len(former) != 1 {
			t.Fatalf("former places %+v", former)
		}
		r := w.controller(moved, former...)
		r.former[0].Firewall = denied{}
		if err := turn(t, r); !errors.Is(err, portsnare.Denied) {
			t.Fatalf("error %v, want that of the unknown firewall", err)
		}
		if !watched(w, "web-1").Equal(w.open()) || !w.firewall("sg-2").open().Empty() || len(unplaced(t, w, moved)) != 1 {
			t.Errorf("web-1 watches %d ports, %d are open", watched(w, "web-1").Len(), w.open().Len())
		}
	})
}
