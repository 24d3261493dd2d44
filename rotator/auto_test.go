package rotator

import (
	"testing"
	"testing/synctest"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/placement"
)

// TestAutomaticTraps: what is chosen keeps its limits and leaves room for the
// next set where openings cannot be turned into others; what is kept is kept.
func TestAutomaticTraps(t *testing.T) {
	for _, tt := range []struct {
		name     string
		inPlace  bool
		keep     float64
		low, top int // openings
		shared   int // ports of consecutive sets, at least
	}{
		{"in place", true, 0, 45, 59, 0},
		{"side by side", false, 0, 20, 29, 0},
		{"half kept", true, 0.5, 45, 59, 120},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.limits = portsnare.Limits{Rules: 60, PerFamily: true, InPlace: tt.inPlace}
				group := testGroup()
				group.Traps = placement.Wish{Auto: true, Limits: placement.DefaultLimits(), Spec: placement.Spec{Keep: tt.keep}}
				r := w.controller(group)
				var before portsnare.PortSet
				for range 5 {
					if err := r.Rotate(t.Context()); err != nil {
						t.Fatal(err)
					}
					now := settled(t, w).Current.Ports()
					if n := len(now.Ranges()); n < tt.low || n > tt.top || now.Len() > group.Traps.Limits.Exposed {
						t.Errorf("%d openings, %d ports, want %d to %d, at most 512", n, now.Len(), tt.low, tt.top)
					}
					if both := now.Intersect(before).Len(); !before.Empty() && (both < tt.shared || tt.keep == 0 && both > 60) {
						t.Errorf("consecutive sets share %d ports", both)
					}
					before = now
				}
			})
		})
	}
}
