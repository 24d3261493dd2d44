package rotator

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata" // Europe/Berlin, wherever the test runs

	"github.com/portsnare/portsnare"
)

// TestClocksChange: what a cron line means in Berlin on the days on which clocks go
// forward (2026-03-29, 02:00 to 03:00) and back (2026-10-25, 03:00 to 02:00).
func TestClocksChange(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, cron, from string
		want             []string
	}{
		{"daily, in the gap", "30 2 * * *", "2026-03-28T03:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"daily, shown twice", "30 2 * * *", "2026-10-24T03:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"daily, at the change forward", "0 2 * * *", "2026-03-28T03:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"daily, at the change back", "0 3 * * *", "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T03:00:00+01:00", "2026-10-26T03:00:00+01:00"}},
		{"@daily", "@daily", "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"}},
		{"weekly", "15 2 * * 0", "2026-10-20T12:00:00+02:00",
			[]string{"2026-10-25T02:15:00+02:00", "2026-11-01T02:15:00+01:00"}},
		{"twice in the gap is once", "10,40 2 * * *", "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:10:00+02:00"}},
		{"twice in the hour shown twice", "10,40 2 * * *", "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T02:10:00+02:00", "2026-10-25T02:40:00+02:00", "2026-10-26T02:10:00+01:00"}},
		{"every half hour, forward", "*/30 * * * *", "2026-03-29T01:20:00+01:00",
			[]string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"}},
		{"every half hour, back", "*/30 * * * *", "2026-10-25T02:20:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"@hourly, back", "@hourly", "2026-10-25T01:20:00+02:00",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"}},
	} {
		at, err := time.Parse(time.RFC3339, tt.from)
		if err != nil {
			t.Fatal(err)
		}
		at = at.In(berlin)
		for i, want := range tt.want {
			at = Schedule{Cron: tt.cron}.nextByCron(at)
			if got := at.Format(time.RFC3339); got != want {
				t.Errorf("%s: time %d is %s, want %s", tt.name, i+1, got, want)
			}
		}
	}
}

// TestCatchUp: a rotation whose time came while no controller ran is made up for,
// once, and a restart begins no interval anew.
func TestCatchUp(t *testing.T) {
	random, daily := Schedule{Min: 10 * time.Minute, Max: 20 * time.Minute}, Schedule{Cron: "0 3 * * *"}
	for _, tt := range []struct {
		name     string
		schedule Schedule
		away     time.Duration
		want     portsnare.Generation
	}{
		{"random, soon back", random, 5 * time.Minute, 1},
		{"random, overdue", random, time.Hour, 2},
		{"random, long overdue", random, 1000 * time.Hour, 2},
		{"cron, soon back", daily, time.Hour, 1},
		{"cron, one missed", daily, 24 * time.Hour, 2},
		{"cron, three missed", daily, 72 * time.Hour, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				group := testGroup()
				group.Schedule = tt.schedule
				rotated(t, w, group)
				time.Sleep(tt.away)
				runFor(t, w.controller(group), 3*time.Minute)
				if got := settled(t, w).Current.Generation; got != tt.want {
					t.Errorf("generation %d, want %d", got, tt.want)
				}
			})
		})
	}
}

// A controller that is restarted every five minutes still rotates.
func TestRestartsDelayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 60 {
			runFor(t, w.controller(testGroup()), 5*time.Minute)
		}
		converge(t, w, testGroup()) // it may have ended amid a rotation
		if got := settled(t, w).Current.Generation; got < 15 || got > 32 {
			t.Errorf("%d generations in 5 hours, want 15 to 31", got)
		}
	})
}

// A clock that was years ahead when the group rotated, or when the next rotation
// was planned, does not delay it.
func TestClockWasAhead(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"minutes": 10 * time.Minute, "years": 100000 * time.Hour} {
		for _, schedule := range []Schedule{{Min: 10 * time.Minute, Max: 20 * time.Minute}, {Cron: "*/15 * * * *"}} {
			t.Run(name+" "+schedule.Cron, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					group := testGroup()
					group.Schedule = schedule
					rotated(t, w, group)
					s, err := loadState(t.Context(), w, stateKey("web"))
					if err != nil {
						t.Fatal(err)
					}
					s.RotatedAt, s.NextAt = s.RotatedAt.Add(ahead), s.NextAt.Add(ahead)
					s.Retired = []retired{{Ports: portsnare.PortSetOf(port(25)), At: s.RotatedAt}}
					if err := saveState(t.Context(), w, stateKey("web"), &s); err != nil {
						t.Fatal(err)
					}
					runFor(t, w.controller(group), 25*time.Minute)
					converge(t, w, group) // it may have ended amid a rotation
					if got := settled(t, w).Current.Generation; got != 2 {
						t.Errorf("generation %d, want 2", got)
					}
					time.Sleep(25 * time.Hour)
					converge(t, w, group)
					if s := settled(t, w); len(s.Retired) > 0 {
						t.Error("the amnesty has become longer")
					}
				})
			})
		}
	}
}

// The random moment comes from the generator that the traps come from, which is
// crypto/rand outside tests, and is uniform between the bounds.
func TestRandomMoment(t *testing.T) {
	s := Schedule{Min: 10 * time.Minute, Max: 20 * time.Minute}
	rng := rand.New(rand.NewPCG(1, 2))
	at := time.Unix(1e9, 0)
	var deciles [10]int
	for range 10000 {
		wait := s.next(at, time.Time{}, rng).Sub(at)
		if wait < s.Min || wait > s.Max {
			t.Fatalf("waits %s", wait)
		}
		deciles[min(9, int(10*(wait-s.Min)/(s.Max-s.Min)))]++
	}
	for i, n := range deciles {
		if n < 850 || n > 1150 {
			t.Errorf("%d of 10,000 in tenth %d", n, i)
		}
	}
	if planned := at.Add(15 * time.Minute); !s.next(at, planned, rng).Equal(planned) {
		t.Error("a planned moment is drawn again")
	}
	fixed := Schedule{Min: time.Hour, Max: time.Hour}
	if got := fixed.next(at, time.Time{}, rng).Sub(at); got != time.Hour {
		t.Errorf("a fixed interval waits %s", got)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*Group){
		"a bad cron line":        func(g *Group) { g.Schedule = Schedule{Cron: "often"} },
		"no interval":            func(g *Group) { g.Schedule = Schedule{} },
		"an interval backwards":  func(g *Group) { g.Schedule = Schedule{Min: time.Hour, Max: time.Minute} },
		"no grace":               func(g *Group) { g.Grace = 0 },
		"grace as long as calls": func(g *Group) { g.Grace = callLife },
	} {
		group := testGroup()
		change(&group)
		if _, err := New(newWorld(t).config(group)); portsnare.KindOf(err) != portsnare.Invalid || portsnare.HintOf(err) == "" {
			t.Errorf("%s: New = %v, want invalid with a hint", name, err)
		}
	}
}
