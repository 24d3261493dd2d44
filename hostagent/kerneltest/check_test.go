package kerneltest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestCheck: it leaves nothing behind, neither beside what others have nor beside
// what is armed, and disturbs nothing.
func TestCheck(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		check := func(what string) {
			t.Helper()
			before := w.snapshot()
			for range 2 {
				w.do(func(ctx context.Context) error { return w.open().Check(ctx) })
			}
			if diff := cmp.Diff(before, w.snapshot()); diff != "" {
				t.Errorf("%s (-before +after):\n%s", what, diff)
			}
		}
		check("bare")
		w.foreign()
		check("beside others")
		w.set(w.order())
		banned := w.source()
		w.syn(banned, 1001, 1002, 1003)
		check("armed")
		w.do(func(ctx context.Context) error { return w.b.Check(ctx) })
		if w.set(w.order()) {
			t.Error("Set changed something after Check")
		}
		w.wantBanned(banned, true)
		w.record("State", "check, bare, beside others and armed", "nothing left, nothing changed")
	})
}

// TestCheckBesideAnAgent: two checks and an agent at work do not disturb each other.
func TestCheckBesideAnAgent(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		w.set(order)
		before := w.snapshot()
		ctx, cancel := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		for range 2 {
			busy.Go(func() {
				for b := w.open(); ctx.Err() == nil; {
					if err := w.Server.Do(func() error { return b.Check(t.Context()) }); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for begun := time.Now(); time.Since(begun) < time.Second; {
			if w.set(order) {
				t.Error("Set changed something beside Check")
			}
		}
		cancel()
		busy.Wait()
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("changed (-before +after):\n%s", diff)
		}
	})
}
