package rotator

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portsnare/portsnare"
)

// turn does what is due, as Run does.
func turn(t *testing.T, r *Rotator) error { return r.attempt(t.Context(), r.whatIsDue) }

// converge has new controllers do what is due until one goes well, as restarts and
// retries do.
func converge(t *testing.T, w *world, group Group) {
	t.Helper()
	var err error
	for range 4 {
		r := w.controller(group)
		if err = turn(t, r); err == nil {
			return
		}
	}
	t.Fatalf("no controller converges: %v", err)
}

var rooms = map[string]portsnare.Limits{
	"open first":  {Rules: 200, PerFamily: true},
	"in place":    {Rules: 14, PerFamily: true, InPlace: true},
	"close first": {Rules: 14, PerFamily: true},
}

// jobs are what controllers are killed in.
var jobs = map[string]func(t *testing.T, w *world, group Group) func() error{
	"two rotations": func(t *testing.T, w *world, group Group) func() error {
		return func() error {
			r := w.controller(group)
			return errors.Join(r.Rotate(t.Context()), r.Rotate(t.Context()))
		}
	},
	"a repair": func(t *testing.T, w *world, group Group) func() error {
		rotated(t, w, group)
		w.empty()
		w.byHand(port(61).Range(), group.Mark())
		w.rebuild("web-2")
		w.calls = 0
		return func() error { return w.controller(group).Repair(t.Context()) }
	},
	"a rotation drawn anew": func(t *testing.T, w *world, group Group) func() error {
		rotated(t, w, group)
		halfway(t, w, group)
		group.Avoid = portsnare.NewPortSet(pending(w).Ranges()[2])
		w.calls = 0
		return func() error { return w.controller(group).Rotate(t.Context()) }
	},
}

// pending returns the ports that are to be traps.
func pending(w *world) portsnare.PortSet {
	s, err := loadState(w.t.Context(), w, stateKey("web"))
	if err != nil || s.Pending == nil {
		w.t.Fatalf("nothing is pending: %v", err)
	}
	return s.Pending.To.Ports()
}

// halfway leaves a rotation behind that has opened some of its traps.
func halfway(t *testing.T, w *world, group Group) {
	t.Helper()
	w.dieAt, w.death = 0, before
	applied := 0
	w.fail = func(call string) error {
		if call == "apply" {
			if applied++; applied == 4 {
				w.dieAt = w.calls + 1
			}
		}
		return nil
	}
	if died, err := attempt(func() error { return w.controller(group).Rotate(t.Context()) }); !died {
		t.Fatalf("not killed half-way: %v", err)
	}
	w.fail, w.dieAt = nil, 0
}

// TestKilledAtEveryCall kills the controller at each of its calls, before and after
// the call took effect and while it is on its way to land when the next controller
// is at work. That one is killed as well, a few calls on. The world demands the
// invariants at every change; in the end the group is at rest.
func TestKilledAtEveryCall(t *testing.T) {
	for room, limits := range rooms {
		for job, begin := range jobs {
			for _, how := range []death{before, after, later} {
				t.Run(fmt.Sprintf("%s/%s/%s", room, job, how), func(t *testing.T) {
					kills := 0
					for at := 1; ; at++ {
						died := false
						synctest.Test(t, func(t *testing.T) { died = killAt(t, limits, begin, how, at) })
						if !died {
							break // at lies behind the last call: every one has been tried
						}
						kills++
					}
					if kills < 20 {
						t.Errorf("only %d calls to be killed at: the test does not see the work", kills)
					}
					t.Logf("killed at %d calls", kills)
				})
			}
		}
	}
}

// killAt kills a first controller at a call and a second one a few calls on.
func killAt(t *testing.T, limits portsnare.Limits, begin func(*testing.T, *world, Group) func() error, how death, at int) (died bool) {
	group := smallGroup()
	w := newWorld(t)
	w.limits = limits
	work := begin(t, w, group)
	w.dieAt, w.death, w.land = at, how, 1+at%23
	if died, err := attempt(work); !died {
		if err != nil {
			t.Fatalf("never killed: %v", err)
		}
		return false
	}
	w.dieAt = w.calls + 3 + at%17
	attempt(func() error { return turn(t, w.controller(group)) }) //nolint:errcheck // it may die or meet a late call
	w.dieAt = 0
	converge(t, w, group)
	time.Sleep(2 * callLife)
	converge(t, w, group)
	settled(t, w)
	return true
}

// rotated completes a first rotation.
func rotated(t *testing.T, w *world, group Group) *Rotator {
	t.Helper()
	r := w.controller(group)
	if err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}
