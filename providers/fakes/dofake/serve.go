package dofake

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Call is one request, as the fake saw it.
type Call struct {
	Time   time.Time
	Token  string
	Method string
	Path   string
	Body   string
}

// Writes reports whether the call is one that changes something.
func (c Call) Writes() bool { return c.Method != http.MethodGet }

// ServeHTTP answers one request.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call, err := f.read(r)
	if h := f.Ask(r.Context(), Before, call); h != nil {
		h.ServeHTTP(w, r)
		return
	}
	var h http.Handler
	if err == nil {
		h, err = f.carryOut(w.Header(), call, r)
	}
	if instead := f.Ask(r.Context(), After, call); instead != nil {
		h = instead
	} else if e, ok := errors.AsType[*Error](err); ok {
		h = e
	}
	h.ServeHTTP(w, r)
}

func (f *Fake) read(r *http.Request) (Call, error) {
	call := Call{Time: f.now(), Method: r.Method, Path: r.URL.Path}
	call.Token, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	body, err := io.ReadAll(r.Body)
	call.Body = string(body)
	if err != nil {
		err = badRequest("the body ends too early")
	}
	f.Log(call)
	return call, err
}

// carryOut does what a request asks for, if it may.
func (f *Fake) carryOut(h http.Header, call Call, r *http.Request) (http.Handler, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	scopes, known := f.tokens[call.Token]
	if !known {
		return nil, errUnauthorized
	}
	if err := f.meter(h, call); err != nil {
		return nil, err
	}
	e, id := route(call)
	switch {
	case e.do == nil:
		return nil, errNotFound
	case slices.ContainsFunc(e.scopes, func(s string) bool { return !slices.Contains(scopes, s) }):
		return nil, errForbidden
	}
	q := query{Fake: f, id: id, scopes: scopes, url: r.URL}
	if e.body != nil {
		q.body = e.body()
		if err := decode(call, r, q.body); err != nil {
			return nil, err
		}
	}
	return e.do(q)
}

func (f *Fake) meter(h http.Header, call Call) error {
	if f.unmetered {
		return nil
	}
	m := f.meters[call.Token]
	if m == nil {
		m = &meter{}
		f.meters[call.Token] = m
	}
	err := m.admit(call.Time)
	m.tell(h, call.Time)
	return err
}

func decode(call Call, r *http.Request, into any) error {
	if kind := r.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		return badRequest("want a body of application/json, not %q", kind)
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(call.Body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return badRequest("error parsing request body: %v", err)
	}
	return nil
}

// route returns the endpoint that a path and method name, and the id in the
// path.
func route(call Call) (endpoint, string) {
	parts := strings.Split(strings.TrimPrefix(call.Path, "/v2/"), "/")
	id := ""
	if len(parts) > 1 {
		id, parts[1] = parts[1], "ID"
	}
	return endpoints[call.Method+" "+strings.Join(parts, "/")], id
}
