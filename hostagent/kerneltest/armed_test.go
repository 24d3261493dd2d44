package kerneltest

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// standing returns what stands in the kernel, as an agent says that knows nothing
// else.
func (w *world) standing() (s kernel.Standing) {
	w.t.Helper()
	w.do(func(ctx context.Context) (err error) {
		s, err = w.open().Armed(ctx)
		return err
	})
	return s
}

// TestArmed: what is said to be armed is what stands in the kernel, after every
// damage, repair and flush.
func TestArmed(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		if got := w.standing(); !cmp.Equal(got, kernel.Standing{}) {
			t.Errorf("before anything: %+v, want nothing", got)
		}
		order := w.order()
		order.Traps.Secret = order.Traps.Secret.Union(w.ports("23/tcp")) // bait and secret at once
		for _, change := range []func(){
			func() {}, func() { order.Alarm = true }, func() { order.Alarm, order.Policy.Delay = false, true },
			func() { order.Traps.Secret = w.ports("4001-4009/tcp") }, // in haste
			func() { order.CloudFirewall, order.Policy.Strikes = false, 1 },
		} {
			change()
			w.set(order)
			if got := w.standing(); !got.Carries(order.Order) || !got.Unreserved.Empty() {
				t.Errorf("armed: %+v, want %+v", got, order.Order)
			}
			if got, want := w.standing().Firing().Len(), order.Traps.Ports().Of(portsnare.TCP).Len()-order.Traps.Bait.Len(); got != want {
				t.Errorf("%d traps fire, want %d", got, want)
			}
		}
		for _, d := range w.damages() {
			w.suffer(d)
			if got := w.standing(); w.harms(d) && got.Carries(order.Order) && got.Unreserved.Empty() {
				t.Errorf("%s: %+v, want the damage told", d.name, got)
			}
			w.set(order)
			w.set(order) // the first may have repaired in haste
			if got := w.standing(); !got.Carries(order.Order) || !got.Unreserved.Empty() {
				t.Errorf("%s, repaired: %+v, want %+v", d.name, got, order.Order)
			}
		}
		w.do(w.b.Flush)
		if got := w.standing(); !cmp.Equal(got, kernel.Standing{}) {
			t.Errorf("after Flush: %+v, want nothing", got)
		}
		w.record("State", "status of what is armed, after every damage, repair and flush", "what stands in the kernel")
	})
}

// harms reports whether a damage has traps, protected ports or rules differ: what is
// allowed, and sets that lead nowhere, are not told.
func (w *world) harms(d damage) bool {
	switch d.name {
	case "allow lost", "allow added", "set left", "set added", "record lost":
		return false
	}
	return true
}
