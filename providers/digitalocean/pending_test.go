package digitalocean_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/dofake"
)

// Old rules are not removed before the new ones have reached every Droplet, and
// Apply does not return before all is there.
func TestApplyWaitsForDroplets(t *testing.T) {
	l := newLab(t, dofake.Options{Pending: 3}, 0)
	l.reach(dual(t, "5/tcp"))
	var events []string
	reads := 0
	l.do.Intercept(func(_ context.Context, stage dofake.Stage, call dofake.Call) http.Handler {
		switch {
		case stage == dofake.After:
		case call.Writes():
			events = append(events, itoa(reads)+" reads", call.Method)
			reads = 0
		default:
			reads++
		}
		return nil
	})
	_, _, err := l.step(dual(t, "6/tcp"))
	noError(t, err)
	events = append(events, itoa(reads)+" reads")
	// One to plan, one to write; three that say "waiting" and one that does not.
	if d := cmp.Diff([]string{"2 reads", "POST", "4 reads", "DELETE", "4 reads"}, events); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

// What never arrives is told, and what was written counts as done.
func TestPendingForEver(t *testing.T) {
	l := newLab(t, dofake.Options{Pending: 1 << 30}, 0)
	_, err := l.Rules(shortly(t))
	wantError(t, err, portsnare.Transient, "", "")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is not %v", err, context.DeadlineExceeded)
	}
	l.Hasten(time.Millisecond, 50*time.Millisecond)
	_, err = l.Rules(t.Context())
	wantError(t, err, portsnare.Transient, "digitalocean: wait for "+l.id+": changes are still pending for 2 Droplets, such as 101",
		"look at the Droplets of the firewall: a change does not reach one of them")
}

func shortly(t *testing.T) context.Context {
	ctx, cancel := contextWithTimeout(t, 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// Written is written, even where nobody learns whether it arrived.
func TestDoneBesidePending(t *testing.T) {
	l := newLab(t, dofake.Options{}, 0)
	plan := portsnare.Plan{Open: dual(t, "5/tcp")}
	l.do.Intercept(dofake.First(2, dofake.After, http.MethodGet, dofake.ServerError))
	_, err := l.Apply(t.Context(), plan)
	wantError(t, err, portsnare.Transient, "digitalocean: read the rules of "+l.id+": Unexpected server-side error (HTTP status 500)", "")

	skipped := dofake.First(1, dofake.After, http.MethodGet, nil)
	failing := dofake.First(9, dofake.After, http.MethodGet, dofake.ServerError)
	first := true
	l.do.Intercept(func(ctx context.Context, stage dofake.Stage, call dofake.Call) http.Handler {
		if first && stage == dofake.After {
			first = false
			return skipped(ctx, stage, call)
		}
		return failing(ctx, stage, call)
	})
	done, err := l.Apply(t.Context(), plan)
	wantError(t, err, portsnare.Transient, "", "")
	if done.Writes != 1 || len(done.Opened) != 2 {
		t.Errorf("done %+v, want one write and two openings", done)
	}
}
