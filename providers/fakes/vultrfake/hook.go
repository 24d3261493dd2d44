package vultrfake

import (
	"context"
	"io"
	"net/http"
	"strconv"
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

// ThrottledFor is [Throttled] with a header that says for how many seconds.
func ThrottledFor(seconds int) http.Handler {
	return &Error{Status: http.StatusTooManyRequests, Message: "rate limit exceeded", RetryAfter: strconv.Itoa(seconds)}
}

// Answers for hooks.
var (
	// Drop closes the connection: before, the request is lost; after, the
	// reply.
	Drop http.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	})

	// Throttled is the answer to one request too many in a second:
	// vultr/terraform-provider-vultr#103. No header is documented.
	Throttled http.Handler = &Error{Status: http.StatusTooManyRequests, Message: "rate limit exceeded"}

	// InternalError is a failure inside Vultr.
	InternalError http.Handler = &Error{Status: http.StatusInternalServerError, Message: "Server error"}

	// Unavailable is Vultr under maintenance.
	Unavailable http.Handler = &Error{Status: http.StatusServiceUnavailable, Message: "Service unavailable"}

	// OddAnswer, After, is the answer that there would be, with a Content-Type
	// that names a charset: to govultr v3.34.0 an empty answer and no error.
	OddAnswer http.Handler = oddAnswer{}

	// BadGateway is the HTML page of some proxy on the way, not of Vultr.
	BadGateway http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html><head><title>502 Bad Gateway</title></head><body><hr><center>502 Bad Gateway</center></body></html>\n")
	})
)

// oddAnswer stands for an answer and is replaced by it.
type oddAnswer struct{}

func (oddAnswer) ServeHTTP(http.ResponseWriter, *http.Request) {}
