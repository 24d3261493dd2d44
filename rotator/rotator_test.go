package rotator

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portsnare/portsnare"
)

// settled demands that the group is at rest: the firewall and every host hold
// exactly the current trap set.
func settled(t *testing.T, w *world) state {
	t.Helper()
	w.dieAt, w.fail = 0, nil
	s, err := loadState(t.Context(), w, stateKey("web"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Pending != nil {
		t.Fatalf("still pending: %+v", s.Pending)
	}
	if got := w.open(); !got.Equal(s.Current.Ports()) {
		t.Fatalf("open   %s\ntraps  %s", got, s.Current.Ports())
	}
	for _, host := range testGroup().Hosts {
		if got := w.hosts[host].armed.Traps.Ports(); !got.Equal(s.Current.Ports()) && !w.hosts[host].away {
			t.Fatalf("%s has armed %s\ntraps %s", host, got, s.Current.Ports())
		}
	}
	return s
}

func TestRotate(t *testing.T) {
	for name, limits := range map[string]portsnare.Limits{
		"open first":  {Rules: 200, PerFamily: true},
		"in place":    {Rules: 60, PerFamily: true, InPlace: true},
		"close first": {Rules: 60, PerFamily: true},
		"one count":   {Rules: 50},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.limits = limits
				r := w.controller(testGroup())
				var before portsnare.PortSet
				for generation := portsnare.Generation(1); generation <= 4; generation++ {
					if err := r.Rotate(t.Context()); err != nil {
						t.Fatal(err)
					}
					s := settled(t, w)
					if s.Current.Generation != generation {
						t.Errorf("generation %d, want %d", s.Current.Generation, generation)
					}
					if s.Current.Ports().Equal(before) {
						t.Error("the traps did not move")
					}
					before = s.Current.Ports()
				}
			})
		})
	}
}

func TestHostMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.controller(testGroup())
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := w.open()
		w.leave("web-2")
		err := r.Rotate(t.Context())
		if !errors.Is(err, portsnare.Transient) || portsnare.HintOf(err) == "" {
			t.Fatalf("Rotate = %v, want a transient error with a hint", err)
		}
		if !w.open().Equal(before) {
			t.Error("the firewall changed although a host is missing")
		}
		if got := r.Status(); got.Problem == "" || got.Pending != "generation 2, step arm" || got.Generation != 1 {
			t.Errorf("status %+v", got)
		}
		w.comeBack("web-2")
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := settled(t, w); s.Current.Generation != 2 {
			t.Errorf("generation %d, want 2: the pending rotation is resumed", s.Current.Generation)
		}
	})
}

func TestProceedWithoutHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.leave("web-2")
		w.hosts["web-2"].unwatched = true
		group := testGroup()
		group.OnMissing = Proceed
		if err := w.controller(group).Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		settled(t, w)
	})
}

func TestRetriesWhatMayPass(t *testing.T) {
	for _, kind := range []portsnare.Kind{portsnare.Transient, portsnare.RateLimited, portsnare.Conflict} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			failures := 0
			w.fail = func(call string) error {
				if call == "apply" && failures < 3 {
					failures++
					return &portsnare.Error{Kind: kind, Op: call}
				}
				return nil
			}
			if err := w.controller(testGroup()).Rotate(t.Context()); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			settled(t, w)
		})
	}
}

func TestDeniedIsNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fail = func(call string) error {
			if call == "rules" {
				return &portsnare.Error{Kind: portsnare.Denied, Op: call}
			}
			return nil
		}
		if err := w.controller(testGroup()).Check(t.Context()); !errors.Is(err, portsnare.Denied) {
			t.Errorf("Check = %v, want denied", err)
		}
		if w.calls != 1 {
			t.Errorf("%d calls, want 1", w.calls)
		}
	})
}

func TestForeignRuleTakesTraps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.controller(testGroup())
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		taken := w.open().Ranges()[3]
		w.rules = append(w.rules, portsnare.Rule{ID: "human", Opening: portsnare.Opening{Range: taken, Source: portsnare.AnySource()[0]}})
		if err := r.Repair(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := settled(t, w)
		if s.Current.Generation != 2 || s.Current.Ports().Overlaps(taken) {
			t.Errorf("generation %d still has %s", s.Current.Generation, taken)
		}
	})
}

func TestAmnesty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		group := testGroup()
		group.Protected = group.Protected.Union(portsnare.PortSetOf(port(25)))
		if err := w.controller(group).Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		for hour := range 24 {
			if err := w.controller(testGroup()).Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s := settled(t, w); s.Current.Ports().Has(port(25)) {
				t.Fatalf("25/tcp is a trap %d hours after it was protected", hour)
			}
			time.Sleep(55 * time.Minute)
		}
		time.Sleep(3 * time.Hour)
		if s := settled(t, w); len(s.Retired) == 0 {
			t.Fatal("nothing was retired")
		}
		if err := w.controller(testGroup()).Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := settled(t, w); len(s.Retired) != 0 {
			t.Errorf("still retired: %v", s.Retired)
		}
	})
}
