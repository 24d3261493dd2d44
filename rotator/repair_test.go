package rotator

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portsnare/portsnare"
)

// TestRepair: whatever others did, the group comes back to its trap set, and the
// world demands that nothing is open that is not armed on the way there.
func TestRepair(t *testing.T) {
	for name, damage := range map[string]func(*world){
		"nothing":              func(*world) {},
		"an opening removed":   func(w *world) { w.remove(w.rules[len(w.rules)-1]) },
		"an opening of no one": func(w *world) { w.byHand(port(61).Range(), "tokyo/web") },
		"both": func(w *world) {
			w.remove(w.rules[4])
			w.byHand(port(61).Range(), "tokyo/web")
		},
		"the cloud emptied":           func(w *world) { w.empty() },
		"a host rebuilt":              func(w *world) { w.rebuild("web-1") },
		"all hosts rebuilt":           func(w *world) { w.rebuild("web-1"); w.rebuild("web-2") },
		"hosts rebuilt, cloud empty":  func(w *world) { w.empty(); w.rebuild("web-1"); w.rebuild("web-2") },
		"rebuilt, and a rule by hand": func(w *world) { w.rebuild("web-2"); w.byHand(port(61).Range(), "tokyo/web") },
		"emptied, and a rule by hand": func(w *world) { w.empty(); w.byHand(port(61).Range(), "tokyo/web") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				r := rotated(t, w, testGroup())
				want := settled(t, w).Current
				damage(w)
				if err := r.Repair(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := settled(t, w).Current; got.Generation != want.Generation {
					t.Errorf("generation %d, want %d still", got.Generation, want.Generation)
				}
				writes := w.writes
				if err := r.Repair(t.Context()); err != nil || w.writes != writes {
					t.Errorf("a second repair wrote %d times, %v", w.writes-writes, err)
				}
			})
		})
	}
}

// A host that was rebuilt and does not answer keeps the cloud closed.
func TestRepairWaitsForHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := rotated(t, w, testGroup())
		w.empty()
		w.rebuild("web-2")
		w.leave("web-2")
		if err := r.Repair(t.Context()); !errors.Is(err, portsnare.Transient) || portsnare.HintOf(err) != "look on web-2" {
			t.Fatalf("Repair = %v, hint %q; want it to wait for web-2", err, portsnare.HintOf(err))
		}
		if !w.open().Empty() {
			t.Fatal("the cloud was opened without the host")
		}
		w.comeBack("web-2")
		if err := r.Repair(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := settled(t, w); s.Current.Generation != 1 {
			t.Errorf("generation %d, want 1", s.Current.Generation)
		}
	})
}

// Where the operator chose so, a repair goes on without a host that is away.
func TestRepairProceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		group := testGroup()
		group.OnMissing = Proceed
		r := rotated(t, w, group)
		w.empty()
		w.rebuild("web-2")
		w.leave("web-2")
		w.hosts["web-2"].unwatched = true
		if err := r.Repair(t.Context()); err != nil {
			t.Fatal(err)
		}
		settled(t, w)
	})
}

// widest returns the widest range of a trap set.
func widest(ports portsnare.PortSet) (wide portsnare.PortRange) {
	for _, r := range ports.Ranges() {
		if r.Len() > wide.Len() || wide.From == 0 {
			wide = r
		}
	}
	return wide
}

// A port in one of our openings becomes protected, and no rule but ours admits it:
// the opening stays, and all of its other ports stay armed, for as long as it does.
func TestHeldRuleStaysArmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits = portsnare.Limits{Rules: 200, PerFamily: true}
		rotated(t, w, testGroup())
		wide := widest(settled(t, w).Current.Secret)
		group := testGroup()
		newly := portsnare.PortSetOf(port(wide.From + 1))
		group.Protected = group.Protected.Union(newly)
		for range 3 {
			if err := w.controller(group).Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if held := portsnare.NewPortSet(wide); !held.Minus(w.open()).Empty() {
				t.Fatal("the only rule that admits a protected port is gone")
			}
			for _, host := range group.Hosts {
				traps := w.hosts[host].armed.Traps
				if gap := w.open().Minus(traps.Ports()).Minus(group.Protected); !gap.Empty() {
					t.Fatalf("%s is open and not armed on %s", gap, host)
				}
			}
		}
		w.rules = append(w.rules, // its owner admits it at last
			portsnare.Rule{ID: "owner-4", Opening: portsnare.Opening{Range: newly.Ranges()[0], Source: portsnare.AnySource()[0]}},
			portsnare.Rule{ID: "owner-6", Opening: portsnare.Opening{Range: newly.Ranges()[0], Source: portsnare.AnySource()[1]}})
		if err := w.controller(group).Repair(t.Context()); err != nil {
			t.Fatal(err)
		}
		settled(t, w)
	})
}

// A failure at any call, for as long as it lasts, leaves nothing open and unarmed,
// is told, counted and remembered, and passes by itself.
func TestFailuresAreTold(t *testing.T) {
	for _, call := range []string{"rules", "limits", "apply", "send", "await", "get", "put"} {
		for _, kind := range []portsnare.Kind{portsnare.Denied, portsnare.Transient, portsnare.LimitExceeded, ""} {
			t.Run(call+" "+string(kind), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					group := testGroup()
					group.Repair = 5 * time.Minute
					r := rotated(t, w, group)
					w.fail = func(c string) error {
						if c == call {
							return &portsnare.Error{Kind: kind, Op: call, Err: errors.New("no luck")}
						}
						return nil
					}
					w.empty()
					for n := 1; n <= 3; n++ {
						if err := r.Rotate(t.Context()); err == nil {
							t.Fatal("no error")
						}
						if status := r.Status(); status.Problem == "" || status.Since.IsZero() {
							t.Errorf("status %+v", status)
						}
						if got := failures(t, r); got != float64(n) {
							t.Errorf("%v failures counted, want %d", got, n)
						}
					}
					if call != "put" && call != "get" {
						w.fail = nil
						again := w.controller(group)
						if err := again.Load(t.Context()); err != nil {
							t.Fatal(err)
						}
						if got := again.Status(); got.Problem == "" || isFailing(t, again) != 1 {
							t.Errorf("a restart forgets the failure: %+v", got)
						}
					}
					w.fail = nil
					if err := r.Rotate(t.Context()); err != nil {
						t.Fatal(err)
					}
					if got := r.Status(); got.Problem != "" || isFailing(t, r) != 0 {
						t.Errorf("still told: %q", got.Problem)
					}
					settled(t, w)
				})
			})
		}
	}
}
