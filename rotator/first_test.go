package rotator

import (
	"bytes"
	"encoding/json"
	"errors"
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
