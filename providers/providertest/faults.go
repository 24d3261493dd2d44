package providertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
)

// kinds says what a call must fail with. What is not here may also be got over:
// by net/http, which sends a read again whose connection was closed, or by the
// provider, which reads what became of a write.
var kinds = map[Fault]portsnare.Kind{
	Throttled:    portsnare.RateLimited,
	ThrottledFor: portsnare.RateLimited,
	ServerError:  portsnare.Transient,
	BadGateway:   portsnare.Transient,
}

// faults: one call goes wrong in each way, and then again and again.
func faults(t *testing.T, p Provider) {
	for _, fault := range p.Faults {
		if special(fault) {
			continue
		}
		for _, call := range []Call{Read, Write} {
			p.fresh(t, string(fault)+" "+string(call), nil, func(w *walk) {
				w.reach(w.dual("5000/tcp", "6000/tcp"))
				want := w.dual("6000/tcp", "7000-7009/tcp", "8000/tcp")
				w.Faults.Inject(Trouble{Fault: fault, Call: call, Times: 1})
				a := w.step(w.Context(), want)
				w.checkFailure(fault, a.err)
				w.recover(want)
			})
		}
		p.fresh(t, string(fault)+" thrice", nil, func(w *walk) {
			w.reach(w.dual("5000/tcp", "6000/tcp"))
			want := w.dual("7000/tcp")
			w.Faults.Inject(Trouble{Fault: fault, Call: Write, Times: 3})
			w.Faults.Inject(Trouble{Fault: fault, Call: Read, Skip: 1, Times: 3})
			w.struggle(want)
			w.recover(want)
		})
	}
}

// special reports whether a fault has a scene of its own: those after which a call
// waits for its whole life, and one that needs words.
func special(fault Fault) bool { return fault == Hang || fault == Silence || fault == Refusal }

func (w *walk) checkFailure(fault Fault, err error) {
	w.Helper()
	want, must := kinds[fault]
	switch {
	case must && portsnare.KindOf(err) != want:
		w.Errorf("error %v, want one of kind %q", err, want)
	case !must && err != nil && !passes(err):
		w.Errorf("error %v, want none or one after which a rotation tries again", err)
	case fault == ThrottledFor && portsnare.RetryAfterOf(err) != RetryAfterSeconds*time.Second:
		w.Errorf("RetryAfter %s, want %d s", portsnare.RetryAfterOf(err), RetryAfterSeconds)
	}
}

// partial: of several writes one fails; Done tells those before it.
func partial(t *testing.T, p Provider) {
	const most = 8 // cases, where a plan takes very many writes
	from := func(w *walk) []portsnare.Opening { return w.dual("5000/tcp", "6000/tcp") }
	to := func(w *walk) []portsnare.Opening { return w.v4("7000/tcp", "8000/tcp", "9000/tcp") }
	if !p.throws(ServerError) {
		t.Skip("no fault can be injected here")
	}
	w := p.start(t, 0)
	w.reach(from(w))
	rules, err := w.Firewall.Rules(w.Context())
	w.must(err)
	writes := p.Writes(rules, w.plan(to(w)))
	w.cleanUp() // where there is but one firewall, the cases begin on it too
	for skip := range min(writes, most) {
		for _, fault := range []Fault{ServerError, LostReply} {
			if !p.throws(fault) {
				continue
			}
			p.fresh(t, string(rune('0'+skip))+" written, then "+string(fault), nil, func(w *walk) {
				w.reach(from(w))
				w.Faults.Inject(Trouble{Fault: fault, Call: Write, Skip: skip, Times: 1})
				a := w.step(w.Context(), to(w))
				if fault == ServerError && (a.err == nil || a.done.Writes != skip) {
					w.Errorf("Done counts %d writes, error %v; want %d and an error", a.done.Writes, a.err, skip)
				}
				if fault == ServerError && skip > 0 && len(a.done.Opened)+len(a.done.Closed) == 0 {
					w.Errorf("Done is empty after %d writes", skip)
				}
				w.recover(to(w))
			})
		}
	}
}

// stale: lists show the past for a while.
func stale(t *testing.T, p Provider) {
	for _, tt := range []struct {
		name string
		to   []string
	}{
		{"opened", []string{"5000/tcp", "6000/tcp", "7000/tcp"}},
		{"replaced", []string{"8000/tcp", "9000/tcp"}},
		{"closed", []string{"6000/tcp"}},
	} {
		p.fresh(t, tt.name, nil, func(w *walk) {
			if w.Faults == nil {
				w.Skip("no fault can be injected here")
			}
			w.reach(w.dual("5000/tcp", "6000/tcp"))
			w.Faults.Freeze(3)
			for range 3 {
				if a := w.step(w.Context(), w.dual(tt.to...)); a.err != nil && !passes(a.err) {
					w.Errorf("error %v: want one after which a rotation tries again", a.err)
				}
			}
			w.recover(w.dual(tt.to...))
		})
	}
}

// cancellation: who is called off stops, and says so.
func cancellation(t *testing.T, p Provider) {
	p.fresh(t, "before the first call", nil, func(w *walk) {
		w.reach(w.dual("5000/tcp"))
		plan, before := w.plan(w.dual("6000/tcp")), w.Writes()
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		if _, err := w.Firewall.Rules(ctx); !errors.Is(err, context.Canceled) {
			w.Errorf("Rules: %v, want %v", err, context.Canceled)
		}
		done, err := w.Firewall.Apply(ctx, plan)
		if !errors.Is(err, context.Canceled) || done.Writes != 0 || w.Writes() != before {
			w.Errorf("done %+v, %d writes, error %v; want none and %v", done, w.Writes()-before, err, context.Canceled)
		}
		w.checkOurs(w.dual("5000/tcp"))
		w.recover(w.dual("6000/tcp"))
	})
	if !p.throws(Hang) {
		return
	}
	for _, call := range []Call{Read, Write} {
		p.fresh(t, "while a "+string(call)+" hangs", nil, func(w *walk) {
			w.reach(w.dual("5000/tcp"))
			w.Faults.Inject(Trouble{Fault: Hang, Call: call, Times: 1})
			ctx, cancel := context.WithTimeout(w.Context(), 100*time.Millisecond)
			defer cancel()
			began := time.Now()
			a := w.step(ctx, w.dual("6000/tcp"))
			if !errors.Is(a.err, context.DeadlineExceeded) {
				w.Errorf("error %v, want %v", a.err, context.DeadlineExceeded)
			}
			if took := time.Since(began); took > 15*time.Second {
				w.Errorf("it took %s to be called off", took)
			}
			w.recover(w.dual("6000/tcp"))
		})
	}
}
