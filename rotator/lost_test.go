package rotator

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portsnare/portsnare"
)

// The state folder was deleted, or is a restored backup, or is damaged. What the
// cloud holds is armed first; then a new set is drawn, whose generation is larger
// than any that a host knows.
func TestStoreIsOlderThanTheWorld(t *testing.T) {
	for name, lose := range map[string]func(w *world, restore func()){
		"deleted":  func(w *world, _ func()) { w.lose() },
		"restored": func(_ *world, restore func()) { restore() },
		"a flipped bit": func(w *world, _ func()) {
			text := w.disk[stateKey("web")]
			text[bytes.Index(text, []byte("/tcp"))-1] ^= 1
		},
		"cut short": func(w *world, _ func()) { w.disk[stateKey("web")] = w.disk[stateKey("web")][:99] },
	} {
		for _, rebuilt := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.limits = portsnare.Limits{Rules: 200, PerFamily: true}
					r := rotated(t, w, testGroup())
					restore := w.backup()
					for range 3 {
						if err := r.Rotate(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					lose(w, restore)
					if rebuilt {
						w.rebuild("web-2")
						w.fail = func(call string) error {
							if call == "apply" && !w.open().Minus(w.hosts["web-2"].armed.Traps.Ports()).Empty() {
								t.Fatal("the cloud is changed before what it holds is armed")
							}
							return nil
						}
					}
					if err := turn(t, w.controller(testGroup())); err != nil {
						t.Fatal(err)
					}
					if s := settled(t, w); s.Current.Generation != 5 {
						t.Errorf("generation %d, want 5", s.Current.Generation)
					}
				})
			})
		}
	}
}

// The link has lost the hosts with everything else. They report again only when they
// are enrolled anew, long after the first rotation was begun, and still no generation
// is smaller than what they know.
func TestHostsReportLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := rotated(t, w, testGroup())
		for range 3 {
			if err := r.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.lose()
		for _, host := range testGroup().Hosts {
			w.hosts[host].unknown = true
			w.leave(host)
		}
		r = w.controller(testGroup())
		if err := turn(t, r); err == nil {
			t.Fatal("rotated without hosts")
		}
		for _, host := range testGroup().Hosts {
			w.hosts[host].unknown = false
			w.comeBack(host) // which arms the newest order
		}
		if err := turn(t, r); err != nil {
			t.Fatal(err)
		}
		if s := settled(t, w); s.Current.Generation != 5 {
			t.Errorf("generation %d, want 5", s.Current.Generation)
		}
	})
}

// A damaged list of firewalls is told, and made anew.
func TestDamagedListOfPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := rotated(t, w, testGroup())
		want := placesOf(t, w)
		text := w.disk[placesKey]
		text[bytes.Index(text, []byte("sg-1"))] ^= 1
		var log bytes.Buffer
		r.log = slog.New(slog.NewTextHandler(&log, nil))
		if err := r.Repair(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := placesOf(t, w); !slices.Equal(got, want) || !strings.Contains(log.String(), msgListRebuilt) {
			t.Errorf("places %q, want %q; log %s", got, want, &log)
		}
	})
}

// Damage is told.
func TestDamageIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		rotated(t, w, testGroup())
		var log bytes.Buffer
		c := w.config(testGroup())
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		text := w.disk[stateKey("web")]
		for i := range text {
			text[i] ^= 4
			r, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			log.Reset()
			if err := r.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if sum := bytes.LastIndex(text, []byte(`,"sum`)); !strings.Contains(log.String(), msgRebuilt) && (sum < 0 || i < sum) && i < len(text)-30 {
				t.Fatalf("byte %d of %d is wrong, and nothing is said", i, len(text))
			}
			text[i] ^= 4
		}
	})
}

// The first version stored the number of a step. Such a rotation begins at its first
// step again.
func TestPendingOfTheFirstVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		rotated(t, w, testGroup())
		s := settled(t, w)
		to := portsnare.TrapSet{Generation: 2, Traps: portsnare.Traps{
			Secret: portsnare.NewPortSet(portsnare.PortRange{Protocol: portsnare.TCP, From: 7000, To: 7100})}}
		for _, ranges := range []portsnare.PortRange{to.Secret.Ranges()[0]} { // it was open already
			for _, source := range portsnare.AnySource() {
				w.add(portsnare.Opening{Range: ranges, Source: source}, "web")
			}
		}
		w.hosts["web-1"].excused, w.hosts["web-2"].excused = to.Secret, to.Secret
		text, err := json.Marshal(map[string]any{
			"current": s.Current, "rotated_at": time.Now(), "protected": s.Protected,
			"pending": map[string]any{"to": to, "way": "open-first", "step": 3},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.disk[stateKey("web")] = text
		if err := turn(t, w.controller(testGroup())); err != nil {
			t.Fatal(err)
		}
		if got := settled(t, w).Current; got.Generation != 2 || !got.Ports().Equal(to.Ports()) {
			t.Errorf("generation %d with %s", got.Generation, got.Ports())
		}
	})
}

// Two controllers use one store and one firewall: each that finds its state replaced
// changes nothing more, says so, and reads again.
func TestTwoControllers(t *testing.T) {
	for _, call := range []string{"put", "send", "apply", "await", "rules"} {
		for nth := 1; nth <= 12; nth++ {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				one, two := rotated(t, w, smallGroup()), w.controller(smallGroup())
				calls, overtaken := 0, false
				w.fail = func(c string) error {
					if calls++; c == call && !overtaken && calls >= nth {
						overtaken = true
						if err := two.Rotate(t.Context()); err != nil { // while one is about to make a call
							t.Fatal(err)
						}
					}
					return nil
				}
				err := one.Rotate(t.Context())
				w.fail = nil
				if !overtaken {
					return
				}
				if err != nil && (!errors.Is(err, portsnare.Conflict) || portsnare.HintOf(err) != "another controller uses the same store: stop one of them") {
					t.Fatalf("%s %d: %v, hint %q", call, nth, err, portsnare.HintOf(err))
				}
				if err != nil && one.Status().Problem == "" {
					t.Error("status says nothing")
				}
				if err := one.Rotate(t.Context()); err != nil {
					t.Fatalf("%s %d: the next attempt: %v", call, nth, err)
				}
				settled(t, w)
			})
		}
	}
}
