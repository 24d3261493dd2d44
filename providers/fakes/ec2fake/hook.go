package ec2fake

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
)

// A Stage is a moment in a call.
type Stage int

const (
	Before Stage = iota // the call was read; nothing is done yet
	After               // the change, if any, is made and [Fake.OnChange] has run; nothing is answered yet
)

func (s Stage) String() string {
	if s == Before {
		return "before"
	}
	return "after"
}

// A Hook is asked at each stage of each call. It may block; ctx ends when the
// client goes away or the server stops. If it returns a handler, that one
// answers, and Before that means that the call is not carried out; nil lets the
// call go on. The call may come from several goroutines at once.
type Hook func(ctx context.Context, stage Stage, call Call) http.Handler

// First returns a hook by which h answers the first n calls of an action at a
// stage. The empty action is any.
func First(n int, stage Stage, action string, h http.Handler) Hook {
	var seen atomic.Int64
	return func(_ context.Context, at Stage, call Call) http.Handler {
		if at != stage || action != "" && action != call.Action || seen.Add(1) > int64(n) {
			return nil
		}
		return h
	}
}

// Answers for hooks.
var (
	// Drop closes the connection: before, the request is lost; after, the
	// reply.
	Drop http.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	})

	// Throttled is EC2's token bucket running dry.
	// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
	Throttled http.Handler = &Error{http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."}

	// InternalError is a failure inside EC2.
	InternalError http.Handler = &Error{http.StatusInternalServerError, "InternalError", "An internal error has occurred"}

	// Unavailable is EC2 overloaded.
	Unavailable http.Handler = &Error{http.StatusServiceUnavailable, "Unavailable", "The server is overloaded and can't handle the request."}

	// BadGateway is the HTML page of some proxy on the way, not of EC2.
	BadGateway http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, "<html><head><title>502 Bad Gateway</title></head><body><hr><center>502 Bad Gateway</center></body></html>\n")
	})
)
