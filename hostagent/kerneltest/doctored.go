package kerneltest

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// The cases of this file need a backend that only its own package can make. The
// tests of that package run them.

// ErrKilled is the error of a program that was not run any more.
var ErrKilled = errors.New("killed")

// FullMemory tests that what cannot be remembered is not counted, or one port
// would be counted again and again. It does so for both families, each with a
// backend that remembers so many hits: hundreds, since they are logged up to a
// rate.
func FullMemory(t *testing.T, hits int, open func() Backend) {
	forBoth(t, variant{name: "full", open: open}, func(t *testing.T, w *world) {
		order := w.order()
		order.Policy.Strikes = 2
		w.set(order)
		if got := w.full(); len(got) > 0 {
			t.Errorf("full before the flood: %v", got)
		}
		for range 3 {
			w.flood(1005, 10*hits)
		}
		if got, want := w.full(), []string{"hit" + w.digit}; !slices.Equal(got, want) {
			t.Errorf("full after the flood: %v, want %v", got, want)
		}
		if got := len(w.bans()); got > 0 {
			t.Errorf("%d sources banned for one port", got)
		}
		w.await("a hit in the log", func() bool { return w.log.len() > 0 })
		if got := w.log.len(); got > hits {
			t.Errorf("%d hits were counted, want 1 to %d", got, hits)
		}
		late := w.source()
		w.syn(late, 1001, 1002, 1003, 1004)
		w.wantBanned(late, false)
	})
}

// full returns the memories of the kernel that the backend calls full.
func (w *world) full() (full []string) {
	w.t.Helper()
	w.do(func(ctx context.Context) (err error) {
		full, err = w.b.Full(ctx)
		return err
	})
	return full
}

// KilledAnywhere tests that a change can be cut short before each call of a
// program, and that the next agent goes on from there. Open returns a backend
// that can make so many calls, all others fail with [ErrKilled].
func KilledAnywhere(t *testing.T, open func(calls int) Backend) {
	w := newWorld(t, variant{name: "killed", open: func() Backend { return open(math.MaxInt) }}, ipv4)
	w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", "1003,2002"))
	steps := []killed{{}, {}, {do: Backend.Flush}}
	for i, strikes := range []int{4, 2} {
		order := w.order()
		order.Policy.Strikes = strikes
		order.Traps = portsnare.Traps{
			Secret: w.ports([]string{"1001-1009/tcp", "2001-2009/tcp"}[i]),
			Bait:   w.ports([]string{"2001/tcp", "1001/tcp"}[i]),
		}
		steps[i].do = func(b Backend, ctx context.Context) error {
			_, err := b.Set(ctx, order)
			return err
		}
	}
	for i, s := range steps {
		w.do(func(ctx context.Context) error { return s.do(w.b, ctx) })
		steps[i].want = w.snapshot()
	}
	for calls, cut := 0, true; cut; calls++ {
		cut = false
		for i, s := range steps {
			cut = w.kill(s, open(calls)) || cut
			w.b = w.open()
			w.do(func(ctx context.Context) error { return s.do(w.b, ctx) })
			if diff := cmp.Diff(s.want, w.snapshot()); diff != "" {
				t.Fatalf("step %d, cut short after %d calls (-want +got):\n%s", i+1, calls, diff)
			}
		}
	}
}

// killed is a change that is cut short, and what it comes to in the end.
type killed struct {
	do   func(Backend, context.Context) error
	want map[string]string
}

// kill has a backend begin a change and reports whether it was killed over it.
func (w *world) kill(k killed, b Backend) bool {
	w.t.Helper()
	err := w.Server.Do(func() error { return k.do(b, context.Background()) })
	if err != nil && !errors.Is(err, ErrKilled) {
		w.t.Fatal(err)
	}
	return err != nil
}

// attempt runs f in the server's namespace and returns its error.
func (w *world) attempt(f func(context.Context) error) error {
	return w.Server.Do(func() error { return f(context.Background()) })
}

// wantRefused fails the test unless an error has the kind and says why, and what
// to do.
func (w *world) wantRefused(what string, err error, kind portsnare.Kind, why, hint string) {
	w.t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), why) || !strings.Contains(portsnare.HintOf(err), hint) {
		w.t.Errorf("%s: %v (%s), want %s, %q and the hint %q", what, err, portsnare.HintOf(err), kind, why, hint)
	}
}

// KernelLacksSomething tests that nothing stays half done where nothing was. The
// kernel of the backend does not know all that it takes, and says why.
func KernelLacksSomething(t *testing.T, b Backend, why string) {
	w := newWorld(t, variant{name: "lacking", open: func() Backend { return b }}, ipv4)
	w.foreign()
	before := w.snapshot()
	err := w.Server.Do(func() error { _, err := b.Set(t.Context(), w.order()); return err })
	w.wantRefused("Set", err, portsnare.Unavailable, why, "modprobe")
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("traces (-before +after):\n%s", diff)
	}
}

// KernelLacksEach tests for each of several abilities that a backend whose kernel, or
// whose programs, do not know it says so: Check fails whenever Set would, names the
// ability, and leaves nothing behind, whether or not something is armed. Open returns
// a backend without the ability; "" is none.
func KernelLacksEach(t *testing.T, abilities []string, open func(ability string) Backend) {
	w := newWorld(t, variant{name: "lacking", open: func() Backend { return open("") }}, ipv4)
	w.foreign()
	for _, armed := range []bool{false, true} {
		if armed {
			w.set(w.order())
		}
		before := w.snapshot()
		for _, ability := range abilities {
			err := w.attempt(open(ability).Check)
			w.wantRefused("Check without "+ability, err, portsnare.Unavailable, ability, "modprobe")
			if armed {
				break // one is as good as all
			}
			w.wantRefused("Set without "+ability, w.setAny(func() Backend { return open(ability) }), portsnare.Unavailable, ability, "modprobe")
		}
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("traces, armed %t (-before +after):\n%s", armed, diff)
		}
	}
	w.do(w.b.Check)
}

// setAny has each of several orders set that together have all options, and removed
// again, and returns the first error.
func (w *world) setAny(open func() Backend) error {
	for _, order := range w.orders() {
		if err := w.attempt(func(ctx context.Context) error { _, err := open().Set(ctx, order); return err }); err != nil {
			return err
		}
		w.do(w.b.Flush)
	}
	return nil
}

// KilledCheck tests that a check that is cut short before any call of a program
// disturbs nobody: what it leaves changes no Set, and is gone after the next check
// and after Flush. Open returns a backend that can make so many calls.
func KilledCheck(t *testing.T, open func(calls int) Backend) {
	w := newWorld(t, variant{name: "killed", open: func() Backend { return open(math.MaxInt) }}, ipv4)
	w.foreign()
	bare := w.snapshot()
	w.set(w.order())
	armed := w.snapshot()
	cut := func(calls int) bool { return w.kill(killed{do: Backend.Check}, open(calls)) }
	for calls := 0; cut(calls); calls++ {
		w.b = w.open()
		if w.set(w.order()) {
			t.Errorf("cut short after %d calls, Set changed something", calls)
		}
		w.do(w.b.Check)
		if diff := cmp.Diff(armed, w.snapshot()); diff != "" {
			t.Fatalf("cut short after %d calls, checked again (-want +got):\n%s", calls, diff)
		}
		cut(calls)
		w.do(w.b.Flush)
		if diff := cmp.Diff(bare, w.snapshot()); diff != "" {
			t.Fatalf("cut short after %d calls, flushed (-want +got):\n%s", calls, diff)
		}
		cut(calls)
		w.do(w.b.Flush)
		if diff := cmp.Diff(bare, w.snapshot()); diff != "" {
			t.Fatalf("cut short after %d calls where nothing was, flushed (-want +got):\n%s", calls, diff)
		}
		w.set(w.order())
	}
}

// FaultOfOurs tests that a program that is wrong, where nothing is missing, is called
// our fault, which no other try mends. Open returns a backend that garbles what arms.
func FaultOfOurs(t *testing.T, b Backend) {
	w := newWorld(t, variant{name: "garbled", open: func() Backend { return b }}, ipv4)
	w.do(b.Check)
	err := w.attempt(func(ctx context.Context) error { _, err := b.Set(ctx, w.order()); return err })
	w.wantRefused("Set", err, portsnare.Invalid, "", "report")
	if portsnare.Retryable(err) {
		t.Errorf("%v is to be tried again", err)
	}
}

// FullMeanwhile tests that an order is armed although the kernel has no room any more
// for what it was to add. Open returns a backend whose first calls that add bans fail
// because a table is full, so many of them.
func FullMeanwhile(t *testing.T, open func(failures int) Backend) {
	w := newWorld(t, variant{name: "full", open: func() Backend { return open(0) }}, ipv4)
	for failures := range 3 {
		b, order := open(failures), w.order()
		order.Bans = w.everything().Bans
		w.check(w.attempt(func(ctx context.Context) error { _, err := b.Set(ctx, order); return err }))
		standing, err := w.read(b)
		if w.check(err); !standing.Carries(order.Order) {
			t.Errorf("%d failures: %+v is armed, want the order", failures, standing)
		}
		if got, want := len(w.bans()) == 0, failures == 2; got != want {
			t.Errorf("%d failures: bans %v", failures, w.bans())
		}
		if got, want := len(b.Problems()), failures/2; got != want {
			t.Errorf("%d failures: problems %v, want %d", failures, b.Problems(), want)
		}
		w.do(w.b.Flush)
	}
}

// read returns what a backend finds armed.
func (w *world) read(b Backend) (s kernel.Standing, err error) {
	err = w.attempt(func(ctx context.Context) (err error) {
		s, err = b.Armed(ctx)
		return err
	})
	return s, err
}
