package providertest

import (
	"context"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
)

// Longest is how long a call may live at most: hosts stay armed for a time of
// grace after the cloud closed a trap, and 30 s is what they take by default.
const Longest = 30 * time.Second

// lifetime: a call to a cloud that answers late, or never, has ended when the
// provider says, and is not made again by anybody but the caller.
func lifetime(t *testing.T, p Provider) {
	w := p.start(t, 0)
	if !p.throws(Hang) {
		return
	}
	if got := w.Firewall.CallTimeout(); got <= 0 || got >= Longest {
		t.Errorf("a call lives for %s, want less than %s", got, Longest)
	}
	if w.Hasten == nil {
		return
	}
	w.reach(w.dual("5000/tcp"))
	const life = 300 * time.Millisecond
	w.Hasten(life)
	if got := w.Firewall.CallTimeout(); got != life {
		t.Fatalf("a call lives for %s, want %s", got, life)
	}
	for _, fault := range []Fault{Hang, Silence} {
		for _, call := range []Call{Read, Write} {
			sub(w, string(fault)+" "+string(call), func(w *walk) { w.outlive(fault, call, life) })
		}
	}
}

// outlive makes calls of a sort hang, all of them, and demands that one step ends
// with the first.
func (w *walk) outlive(fault Fault, call Call, life time.Duration) {
	w.Helper()
	want := w.dual("6000/tcp", "7000/tcp")
	w.Faults.Inject(Trouble{Fault: fault, Call: call, Times: 1000})
	before, began := w.Writes(), time.Now()
	a := w.step(context.WithoutCancel(w.Context()), want)
	took, writes := time.Since(began), w.Writes()-before
	if portsnare.KindOf(a.err) != portsnare.Transient {
		w.Errorf("error %v, want one of kind %q", a.err, portsnare.Transient)
	}
	// What comes before the call that hangs takes no time to speak of, on a busy
	// machine too. A call made again would take as long as the first, and longer.
	if took < life || took >= 2*life+5*time.Second {
		w.Errorf("it took %s, want %s", took, life)
	}
	if call == Write && writes != 1 {
		w.Errorf("%d writes were made, want 1: making one again is the caller's", writes)
	}
	w.Faults.Clear()
	w.recover(want)
	w.reach(w.dual("5000/tcp"))
}
