package rotator

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/portsnare/portsnare"
)

func failures(t *testing.T, r *Rotator) float64 {
	t.Helper()
	return testutil.ToFloat64(r.metrics.failures.WithLabelValues(r.group.Name))
}

func isFailing(t *testing.T, r *Rotator) float64 {
	t.Helper()
	return testutil.ToFloat64(r.metrics.failing.WithLabelValues(r.group.Name))
}

// After a restart status and metrics tell what is stored, before anything is done.
func TestStatusIsLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := rotated(t, w, testGroup())
		w.leave("web-2")
		if err := first.Rotate(t.Context()); err == nil {
			t.Fatal("rotated without a host")
		}
		r := w.controller(testGroup())
		if err := r.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := r.Status()
		if got.Generation != 1 || got.Traps == 0 || got.Pending != "generation 2, step arm" || got.RotatedAt.IsZero() || got.NextAt.IsZero() || got.Problem == "" {
			t.Errorf("status %+v", got)
		}
		if g := testutil.ToFloat64(r.metrics.generation.WithLabelValues("web")); g != 1 {
			t.Errorf("generation %v in the metrics", g)
		}
		if at := testutil.ToFloat64(r.metrics.lastSuccess.WithLabelValues("web")); at != float64(got.RotatedAt.UnixMilli())/1000 {
			t.Errorf("last success %v, want %v", at, got.RotatedAt)
		}
	})
}

// Every running step is shown.
func TestStatusShowsEveryStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits = portsnare.Limits{Rules: 200, PerFamily: true}
		r := rotated(t, w, testGroup())
		var seen []string
		w.fail = func(call string) error {
			step := r.Status().Pending
			if len(seen) == 0 && step != "" || len(seen) > 0 && step != seen[len(seen)-1] {
				seen = append(seen, step)
			}
			return nil
		}
		done := make(chan error)
		go func() { done <- r.Rotate(t.Context()) }()
		time.Sleep(10 * time.Second) // into the grace time
		if got := r.Status().Pending; got != "generation 2, step grace" {
			t.Errorf("pending %q during the grace time", got)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(strings.Join(seen, ","), "generation 2, step ", "")
		if want := "arm,open,verify-open,close,verify-close,grace,settle,disarm,"; got != want {
			t.Errorf("shown %q, want %q", got, want)
		}
	})
}

// A host counts as armed only by a report of the last 15 seconds.
func TestStatusOfHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := rotated(t, w, testGroup())
		host := func() HostStatus { return r.Status().Hosts[1] }
		if got := host(); !got.Armed || got.Missing || got.Problem != "" {
			t.Errorf("at first %+v", got)
		}
		w.leave("web-2")
		time.Sleep(15 * time.Second)
		if got := host(); !got.Armed || got.Missing {
			t.Errorf("after 15 s %+v", got)
		}
		time.Sleep(time.Second)
		if got := host(); got.Armed || !got.Missing || got.Problem != "no report for 16s" {
			t.Errorf("after 16 s %+v", got)
		}
		w.comeBack("web-2")
		w.hosts["web-2"].says = func(r *portsnare.Report) {
			r.Problem, r.Repairs, r.Full = "cannot reserve\x1b[2J the ports", 3, []string{"hit4\x07"}
		}
		if got := host(); !got.Armed || got.Problem != "cannot reserve [2J the ports" || got.Repairs != 3 || got.Full[0] != "hit4 " {
			t.Errorf("with a report of trouble %+v", got)
		}
		w.hosts["web-2"].says = nil
		w.rebuild("web-2")
		if got := host(); got.Armed {
			t.Errorf("rebuilt %+v", got)
		}
	})
}

// One host that claims every port keeps nothing from being drawn, and is named.
func TestClaimIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := rotated(t, w, testGroup())
		all := portsnare.NewPortSet(portsnare.PortRange{Protocol: portsnare.TCP, From: 1, To: 65535})
		w.hosts["web-2"].says = func(r *portsnare.Report) { r.Listening = all }
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.Status().Hosts[1].Problem; got != "web-2 claims to listen on 65,534 ports; the claim is ignored" {
			t.Errorf("problem %q", got)
		}
		some := portsnare.NewPortSet(portsnare.PortRange{Protocol: portsnare.TCP, From: 30000, To: 30999})
		w.hosts["web-2"].says = func(r *portsnare.Report) { r.Listening = some }
		for range 5 {
			if err := r.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if both := settled(t, w).Current.Ports().Intersect(some); !both.Empty() {
				t.Fatalf("%s was drawn, where a host listens", both)
			}
		}
	})
}

// A generation that a host makes up moves the numbers on, at most.
func TestGenerationClaimIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := rotated(t, w, testGroup())
		w.hosts["web-2"].says = func(r *portsnare.Report) { r.Generation = 1<<64 - 1 }
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := settled(t, w).Current.Generation; got != 2 {
			t.Errorf("generation %d, want 2", got)
		}
	})
}
