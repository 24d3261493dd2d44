package dofake

import (
	"net/http"

	"github.com/portsnare/portsnare/providers/fakes/fakeapi"
)

// The stages of a call.
const (
	Before = fakeapi.Before
	After  = fakeapi.After
)

// Names of package fakeapi.
type (
	Stage = fakeapi.Stage
	Hook  = fakeapi.Hook[Call]
)

// First returns a hook by which h answers the first n calls of a method at a
// stage. The empty method is any.
func First(n int, stage Stage, method string, h http.Handler) Hook {
	return fakeapi.First(n, stage, func(c Call) bool { return method == "" || method == c.Method }, h)
}
