// Package judge holds a vendor's OpenAPI file against what a client asks of a
// fake and what the fake answers, so that neither strays from the vendor's word.
// It is for tests.
//
// The files are not part of this module. They are looked for in the folder that
// PORTSNARE_SPECS names, or else in one beside the checkout.
// Without them nothing is judged, and the test says so.
package judge

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// variable names the folder of OpenAPI files.
const variable = "PORTSNARE_SPECS"

// Find returns the path of an OpenAPI file. Where it is not, ok is false.
func Find(t testing.TB, file string) (path string, ok bool) {
	t.Helper()
	folder := os.Getenv(variable)
	if folder == "" {
		folder = filepath.Join(top(t), "..", "shared", "specs")
	}
	path = filepath.Join(folder, file)
	_, err := os.Stat(path)
	if err != nil {
		t.Logf("not judged by the vendor's OpenAPI file: %v; %s can name the folder where it is", err, variable)
	}
	return path, err == nil
}

// top returns the folder of this module.
func top(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		if folder == filepath.Dir(folder) {
			t.Fatal("no go.mod above the test")
		}
		folder = filepath.Dir(folder)
	}
}

// Judge is next, judged by an OpenAPI file. What breaks the file's word fails t.
type Judge struct {
	t      testing.TB
	next   http.Handler
	router routers.Router

	requests, answers atomic.Int64
}

// New returns a judge by the file at path of what next is asked and answers. At
// the end of the test it logs how much it has judged.
func New(t testing.TB, path string, next http.Handler) *Judge {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	document.Servers = nil // the fake is elsewhere
	router, err := legacy.NewRouter(document)
	if err != nil {
		t.Fatal(err)
	}
	j := &Judge{t: t, next: next, router: router}
	t.Cleanup(func() { t.Logf("judged: %d requests, %d answers", j.requests.Load(), j.answers.Load()) })
	return j
}

// Wrap is [New] with a file that is found by its name, and next itself where it
// is not found.
func Wrap(t testing.TB, file string, next http.Handler) http.Handler {
	t.Helper()
	path, ok := Find(t, file)
	if !ok {
		return next
	}
	return New(t, path, next)
}

// ServeHTTP judges a request, and the answer if the file says anything about its
// status or if it is a good one.
func (j *Judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route, parameters, err := j.router.FindRoute(r)
	if err != nil {
		j.t.Errorf("judge: %s %s: %v", r.Method, r.URL, err)
		j.next.ServeHTTP(w, r)
		return
	}
	asked := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true},
	}
	j.requests.Add(1)
	if err := openapi3filter.ValidateRequest(context.WithoutCancel(r.Context()), asked); err != nil {
		j.t.Errorf("judge: request %s %s: %v", r.Method, r.URL, err)
	}
	answer := httptest.NewRecorder()
	j.next.ServeHTTP(answer, r) // a panic that closes the connection goes through
	j.judge(asked, answer)
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // an error means that nobody listens
}

func (j *Judge) judge(asked *openapi3filter.RequestValidationInput, answer *httptest.ResponseRecorder) {
	good := answer.Code/100 == http.StatusOK/100
	if !good && asked.Route.Operation.Responses.Status(answer.Code) == nil {
		return
	}
	j.answers.Add(1)
	err := openapi3filter.ValidateResponse(context.Background(), (&openapi3filter.ResponseValidationInput{
		RequestValidationInput: asked, Status: answer.Code, Header: answer.Header(), Options: asked.Options,
	}).SetBodyBytes(answer.Body.Bytes()))
	if err != nil {
		j.t.Errorf("judge: answer %d to %s %s: %v", answer.Code, asked.Request.Method, asked.Request.URL, err)
	}
}
