package dofake

import (
	"context"
	"net/http"
	"sync/atomic"
)

// A Stage is a moment in a call.
type Stage int

const (
	Before Stage = iota // the call was read; nothing is done yet
	After               // the change, if any, is made; nothing is answered yet
)

// A Hook is asked at each stage of each call. It may block; ctx ends when the
// client goes away. If it returns a handler, that one answers, and Before that
// means that the call is not carried out; nil lets the call go on.
type Hook func(ctx context.Context, stage Stage, call Call) http.Handler

// First returns a hook by which h answers the first n calls of a method at a
// stage. The empty method is any.
func First(n int, stage Stage, method string, h http.Handler) Hook {
	var seen atomic.Int64
	return func(_ context.Context, at Stage, call Call) http.Handler {
		if at != stage || method != "" && method != call.Method || seen.Add(1) > int64(n) {
			return nil
		}
		return h
	}
}
