package dofake

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/portsnare/portsnare/providers/fakes/fakeapi"
)

// An Error is an error reply. As an http.Handler it writes itself, so that a
// [Hook] can answer with it.
type Error struct {
	Status     int
	ID         string // such as not_found
	Message    string
	RetryAfter time.Duration // sent as Retry-After if it is not 0
}

func (e *Error) Error() string { return e.ID + ": " + e.Message }

// ServeHTTP writes the reply as DigitalOcean does.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(e.RetryAfter.Seconds())))
	}
	writeJSON(w, e.Status, map[string]string{"id": e.ID, "message": e.Message})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("dofake: a reply cannot be encoded: %v", err)) // a type here is wrong
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client may be gone; the change stands all the same
}

// Errors whose ids the OpenAPI file names.
var (
	errUnauthorized = &Error{Status: http.StatusUnauthorized, ID: "unauthorized", Message: "Unable to authenticate you."}
	errForbidden    = &Error{Status: http.StatusForbidden, ID: "forbidden", Message: "You are not authorized to perform this operation."}
	errNotFound     = &Error{Status: http.StatusNotFound, ID: "not_found", Message: "The resource you requested could not be found."}
)

func badRequest(format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, ID: "bad_request", Message: fmt.Sprintf(format, args...)}
}

func unprocessable(format string, args ...any) error {
	return &Error{Status: http.StatusUnprocessableEntity, ID: "unprocessable_entity", Message: fmt.Sprintf(format, args...)}
}

// Answers for hooks.
var (
	// ServerError is a failure inside DigitalOcean.
	ServerError http.Handler = &Error{Status: http.StatusInternalServerError, ID: "server_error", Message: "Unexpected server-side error"}

	Drop, BadGateway = fakeapi.Drop, fakeapi.BadGateway

	// OddAnswer is a good status with a page that is no JSON.
	OddAnswer http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html><body>sign in to the network</body></html>\n")
	})
)

// TooManyRequests is the answer to a token that calls too often. It says when to
// come again if after is not 0, which must be whole seconds.
func TooManyRequests(after time.Duration) http.Handler {
	return &Error{Status: http.StatusTooManyRequests, ID: "too_many_requests", Message: "API rate limit exceeded.", RetryAfter: after}
}
