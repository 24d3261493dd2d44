package digitalocean_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/dofake"
)

// Between the last reading and the writing somebody made the same rule, or
// removed the one that is to go. It is a conflict, after which a rotation reads
// anew, and nothing is half done.
func TestRaceWithinApply(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method string
		race   func(l *lab) error
		text   string
		want   []string // ranges in the end
	}{
		{"made", http.MethodPost, func(l *lab) error { return l.do.AddRule(l.id, allow("7", "0.0.0.0/0", "::/0")) },
			"digitalocean: open ports in {id}: duplicate rules are not allowed (HTTP status 422)", []string{"7/tcp"}},
		{"removed", http.MethodDelete, func(l *lab) error { return l.do.RemoveRule(l.id, allow("5", "0.0.0.0/0", "::/0")) },
			`digitalocean: close ports in {id}: rule {"protocol":"tcp","ports":"<port>","action":"allow","sources":{"addresses":["0.0.0.0/0","::/0"]}} not found (HTTP status 422)`,
			[]string{"7/tcp"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, dofake.Options{}, 0)
			l.reach(dual(t, "5/tcp"))
			raced := false
			l.do.Intercept(func(_ context.Context, stage dofake.Stage, call dofake.Call) http.Handler {
				if stage == dofake.Before && call.Method == tt.method && !raced {
					raced = true
					noError(t, tt.race(l))
				}
				return nil
			})
			_, _, err := l.step(dual(t, tt.want...))
			wantError(t, err, portsnare.Conflict, l.fill(tt.text), "")
			l.reach(dual(t, tt.want...))
		})
	}
}

// A rule that is held stays as it is even where the plan speaks of its ports.
func TestHeldRuleIsNotMerged(t *testing.T) {
	for _, replace := range []bool{false, true} {
		l := newLab(t, dofake.Options{}, 0)
		l.options.Replace = replace
		l.Firewall = l.open(l.options)
		noError(t, l.do.AddRule(l.id, allow("22", "0.0.0.0/0")))
		held, err := l.Rules(t.Context())
		noError(t, err)
		both := dual(t, "22/tcp")
		_, err = l.Apply(t.Context(), portsnare.Plan{Open: both[1:], Held: held})
		noError(t, err)
		want := []string{allow("22", "0.0.0.0/0").String(), allow("22", "::/0").String()}
		if d := cmp.Diff(want, l.inbound()); d != "" {
			t.Errorf("rules (-want +got):\n%s", d)
		}
	}
}
