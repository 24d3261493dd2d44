package vultrfake

import (
	"net/http"
	"strconv"

	"github.com/portsnare/portsnare/providers/fakes/fakeapi"
)

// The stages of a call. After, [Fake.OnChange] has run.
const (
	Before = fakeapi.Before
	After  = fakeapi.After
)

// Names of package fakeapi.
type (
	Stage = fakeapi.Stage
	Hook  = fakeapi.Hook[Call]
)

// First returns a hook by which h answers the first n calls of an action at a
// stage. The empty action is any.
func First(n int, stage Stage, action string, h http.Handler) Hook {
	return fakeapi.First(n, stage, func(c Call) bool { return action == "" || action == c.Action }, h)
}

// ThrottledFor is [Throttled] with a header that says for how many seconds.
func ThrottledFor(seconds int) http.Handler {
	return &Error{Status: http.StatusTooManyRequests, Message: "rate limit exceeded", RetryAfter: strconv.Itoa(seconds)}
}

// Answers for hooks.
var (
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

	Drop, BadGateway = fakeapi.Drop, fakeapi.BadGateway
)

// oddAnswer stands for an answer and is replaced by it.
type oddAnswer struct{}

func (oddAnswer) ServeHTTP(http.ResponseWriter, *http.Request) {}
