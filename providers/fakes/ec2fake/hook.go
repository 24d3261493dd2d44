package ec2fake

import (
	"net/http"

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

// Answers for hooks.
var (
	// Throttled is EC2's token bucket running dry.
	// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
	Throttled http.Handler = &Error{http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."}

	// InternalError is a failure inside EC2.
	InternalError http.Handler = &Error{http.StatusInternalServerError, "InternalError", "An internal error has occurred"}

	// Unavailable is EC2 overloaded.
	Unavailable http.Handler = &Error{http.StatusServiceUnavailable, "Unavailable", "The server is overloaded and can't handle the request."}

	Drop, BadGateway = fakeapi.Drop, fakeapi.BadGateway
)
