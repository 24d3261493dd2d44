package rotator

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/portsnare/portsnare"
)

// TestPendingIsJudgedAgain: a rotation was cut short, and then something changed so
// that it can no longer be carried out. The next attempt closes what it had opened
// and draws anew.
func TestPendingIsJudgedAgain(t *testing.T) {
	drawn := func(w *world, n int) portsnare.PortRange { return pending(w).Ranges()[n] }
	for name, tt := range map[string]struct {
		change func(*world, *Group)
		same   bool // it can still be carried out
	}{
		"nothing":         {func(*world, *Group) {}, true},
		"a smaller limit": {func(w *world, _ *Group) { w.limits.Rules = 20 }, false},
		"others took the room": {func(w *world, _ *Group) {
			for i := range 40 {
				w.rules = append(w.rules, portsnare.Rule{ID: "human", Opening: portsnare.Opening{Range: port(uint16(2000 + i)).Range(), Source: portsnare.AnySource()[0]}})
				w.rules[len(w.rules)-1].ID += string(rune('A' + i))
			}
		}, false},
		"a human's rule on a trap": {func(w *world, _ *Group) {
			w.rules = append(w.rules, portsnare.Rule{ID: "human", Opening: portsnare.Opening{Range: drawn(w, 5), Source: portsnare.AnySource()[0]}})
		}, false},
		"a trap protected": {func(w *world, g *Group) {
			g.Protected = g.Protected.Union(portsnare.PortSetOf(port(drawn(w, 5).From)))
		}, false},
		"a trap avoided":   {func(w *world, g *Group) { g.Avoid = portsnare.NewPortSet(drawn(w, 5)) }, false},
		"other traps":      {func(_ *world, g *Group) { g.Traps.Spec.Bait = 3 }, false},
		"other sources":    {func(_ *world, g *Group) { g.Sources = g.Sources[:1] }, false},
		"a larger limit":   {func(w *world, _ *Group) { w.limits.Rules = 100 }, true},
		"no more in place": {func(w *world, _ *Group) { w.limits.InPlace = false }, true},
	} {
		for _, opened := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					group := testGroup()
					rotated(t, w, group)
					if opened {
						halfway(t, w, group)
					} else {
						w.leave("web-2")
						if err := w.controller(group).Rotate(t.Context()); err == nil {
							t.Fatal("rotated without a host")
						}
						w.comeBack("web-2")
					}
					tt.change(w, &group)
					if err := w.controller(group).Rotate(t.Context()); err != nil {
						t.Fatal(err)
					}
					s, err := loadState(t.Context(), w, stateKey("web"))
					if err != nil || s.Pending != nil {
						t.Fatalf("pending %+v, %v", s.Pending, err)
					}
					if same := s.Current.Generation == 2; same != tt.same {
						t.Errorf("generation %d, want the pending one carried out: %v", s.Current.Generation, tt.same)
					}
					if extra := w.open().Minus(s.Current.Ports()).Minus(group.Protected); !extra.Empty() {
						t.Errorf("%s is left open", extra)
					}
					if missing := s.Current.Ports().Minus(w.open()); !missing.Empty() {
						t.Errorf("%s is missing", missing)
					}
				})
			})
		}
	}
}

// The real quota is smaller than the limits say, and nobody corrects anything: the
// first attempt is refused, the next ones make do with less.
func TestQuotaIsLearnt(t *testing.T) {
	for name, limits := range map[string]portsnare.Limits{
		"side by side": {Rules: 100, PerFamily: true},
		"in place":     {Rules: 100, PerFamily: true, InPlace: true},
		"whole":        {Rules: 100, PerFamily: true, InPlace: true, Whole: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.limits, w.quota = limits, 62
				var errs int
				for range 12 {
					err := turn(t, w.controller(testGroup()))
					if err != nil && !errors.Is(err, portsnare.LimitExceeded) {
						t.Fatal(err)
					}
					if err == nil {
						settled(t, w)
						return
					}
					errs++
				}
				t.Errorf("refused %d times, for ever", errs)
			})
		})
	}
}

// Others removed our openings and took their room: what cannot be put back is drawn
// anew.
func TestRepairWithoutRoomDrawsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := rotated(t, w, testGroup())
		w.empty()
		w.limits.Rules = 20
		if err := r.Repair(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := settled(t, w); s.Current.Generation != 2 || len(s.Current.Ports().Ranges()) > 19 {
			t.Errorf("generation %d with %d openings", s.Current.Generation, len(s.Current.Ports().Ranges()))
		}
	})
}

// Somebody adds a rule during the grace time: the rotation begins again, and hosts
// are disarmed only when it is gone.
func TestLooksAgainBehindTheGraceTime(t *testing.T) {
	for name, at := range map[string]string{"grace": "generation 2, step grace", "between two reads": "generation 2, step settle"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				r := rotated(t, w, testGroup())
				reads, added := 0, false
				w.fail = func(call string) error {
					if call == "rules" && r.Status().Pending == "generation 2, step settle" {
						reads++
					}
					if !added && (name == "grace" && r.Status().Pending == at || reads == 2) {
						w.byHand(port(61).Range(), "tokyo/web")
						added = true
					}
					return nil
				}
				if err := r.Rotate(t.Context()); err != nil {
					t.Fatal(err)
				}
				if !added {
					t.Fatal("nothing was added")
				}
				settled(t, w)
			})
		})
	}
}
