package rotator

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/placement"
)

// runFor runs a controller for d of the bubble's time.
func runFor(t *testing.T, r *Rotator, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestRunRotatesAtRandomTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.controller(testGroup())
		runFor(t, r, 10*time.Hour)
		converge(t, w, testGroup()) // it may have ended amid a rotation
		// The first at once, then one every 10 to 20 minutes.
		if got := settled(t, w).Current.Generation; got < 30 || got > 61 {
			t.Errorf("%d generations in 10 hours, want 31 to 61", got)
		}
	})
}

func TestRunByCron(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		group := testGroup()
		group.Schedule = Schedule{Cron: "0 * * * *"}
		runFor(t, w.controller(group), 5*time.Hour+30*time.Minute)
		if got := settled(t, w).Current.Generation; got != 6 {
			t.Errorf("generation %d, want 6: one at once and one each hour", got)
		}
	})
}

func TestRunKeepsTryingAndRepairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.leave("web-1")
		began := time.Now()
		removed := false
		w.fail = func(string) error { // as time goes by, between two calls
			since := time.Since(began)
			if since >= 3*time.Minute && w.hosts["web-1"].away {
				w.comeBack("web-1")
			}
			if since > 8*time.Minute && !removed {
				w.remove(w.rules[len(w.rules)-1])
				removed = true
			}
			return nil
		}
		runFor(t, w.controller(testGroup()), 9*time.Minute+55*time.Second)
		if got := settled(t, w).Current.Generation; got != 1 || !removed {
			t.Errorf("generation %d, want 1; removed %v", got, removed)
		}
	})
}

func TestMetricNames(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	m.rotated("web", time.Second)
	m.begin("web")
	m.holds("web", 1, time.Unix(1, 0), false)
	m.strayed("web", []Stray{{Mark: "osaka/web", Openings: 1}})
	m.failed("web")
	m.repaired("web")
	m.wrote("web", portsnare.Done{Writes: 2})
	m.Hit(portsnare.Hit{Host: "web-1", Class: portsnare.Bait})
	m.Lost("web-1", 3)
	m.Ban(portsnare.Ban{Host: "web-1"})
	m.reported(portsnare.Report{Host: "web-1", Full: []string{"hit4"}})
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	if n, err := testutil.GatherAndCount(reg); err != nil || n != 14 {
		t.Errorf("%d metrics, %v", n, err)
	}
}

func TestPreviewChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		group := testGroup()
		first, err := NewPreview(t.Context(), group, w, placement.SecureRand())
		if err != nil {
			t.Fatal(err)
		}
		if len(first.Plan.Open) == 0 || len(first.Plan.Close) != 0 || first.Used > first.Budget || w.writes != 0 || len(w.disk) != 0 {
			t.Errorf("preview %+v, %d writes", first, w.writes)
		}
		if o := first.Outlook; o.Random <= 0 || o.Random > 0.02 || o.Exposed != first.Traps || first.Others != nil {
			t.Errorf("outlook %+v of %d traps, others %v", o, first.Traps, first.Others)
		}
		if len(first.Warnings) != 1 { // 22/tcp comes first with every scanner
			t.Errorf("warnings %q", first.Warnings)
		}
	})
}
