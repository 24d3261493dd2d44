// Package fakeapi is what the fakes of all clouds are made of that answer over
// HTTP: a log of their calls, hooks by which a test takes part in a call, answers
// that any server might give, and lists that show the past for a while.
package fakeapi

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// A Stage is a moment in a call.
type Stage int

// The stages.
const (
	Before Stage = iota // the call was read; nothing is done yet
	After               // the change, if any, is made; nothing is answered yet
)

// String returns "before" or "after".
func (s Stage) String() string {
	if s == Before {
		return "before"
	}
	return "after"
}

// A Hook is asked at each stage of each call; C is what a fake knows of one. It
// may block; ctx ends when the client goes away or the server stops. If it returns
// a handler, that one answers, and Before that means that the call is not carried
// out; nil lets the call go on. It may be asked from several goroutines at once.
type Hook[C any] func(ctx context.Context, stage Stage, call C) http.Handler

// First returns a hook by which h answers the first n calls that match at a stage.
func First[C any](n int, stage Stage, matches func(C) bool, h http.Handler) Hook[C] {
	var seen atomic.Int64
	return func(_ context.Context, at Stage, call C) http.Handler {
		if at != stage || !matches(call) || seen.Add(1) > int64(n) {
			return nil
		}
		return h
	}
}

// Desk is where the calls of a fake arrive. The zero Desk is ready.
type Desk[C any] struct {
	mu    sync.Mutex // guards what follows
	hook  Hook[C]
	last  int // number of the newest call
	calls []C
}

// Intercept has hook asked about every call from now on, in place of an earlier
// one. nil ends it.
func (d *Desk[C]) Intercept(hook Hook[C]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hook = hook
}

// Calls returns the calls that were logged, those refused and those intercepted
// included.
func (d *Desk[C]) Calls() []C {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.calls)
}

// Number returns 1 for the first call that arrives, 2 for the second, and so on.
func (d *Desk[C]) Number() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	return d.last
}

// Log adds a call to [Desk.Calls].
func (d *Desk[C]) Log(call C) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, call)
}

// Ask returns what the hook says, or nil without one.
func (d *Desk[C]) Ask(ctx context.Context, stage Stage, call C) http.Handler {
	d.mu.Lock()
	hook := d.hook
	d.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(ctx, stage, call)
}

// Past is what lists show while a fake is frozen. It needs the lock of whoever
// owns it. The zero Past shows the present.
type Past[T any] struct {
	shown *T
	reads int // until the thaw, 0 is no end
}

// Freeze lets the next reads show what is given, or all until Thaw where reads is 0.
func (p *Past[T]) Freeze(shown T, reads int) { p.shown, p.reads = &shown, reads }

// Thaw ends a Freeze.
func (p *Past[T]) Thaw() { p.shown = nil }

// Look returns what is to be shown, which is now unless it is frozen.
func (p *Past[T]) Look(now T) T {
	if p.shown == nil {
		return now
	}
	return *p.shown
}

// Count brings the thaw nearer by one read.
func (p *Past[T]) Count() {
	if p.reads--; p.reads == 0 {
		p.shown = nil
	}
}

// Answers for hooks.
var (
	// Drop closes the connection: before, the request is lost; after, the reply.
	Drop http.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	})

	// Silence says nothing until the client has gone away. A server sees that only
	// when it has read the whole request.
	Silence http.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})

	// BadGateway is the HTML page of some proxy on the way.
	BadGateway http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html><head><title>502 Bad Gateway</title></head><body><hr><center>502 Bad Gateway</center></body></html>\n")
	})
)
