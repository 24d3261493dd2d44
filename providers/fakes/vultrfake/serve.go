package vultrfake

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The actions of a [Call], by the operationId of Vultr's OpenAPI file.
const (
	GetGroup   = "get-firewall-group"
	ListRules  = "list-firewall-group-rules"
	CreateRule = "post-firewalls-firewall-group-id-rules"
	GetRule    = "get-firewall-group-rule"
	DeleteRule = "delete-firewall-group-rule"
)

// A Call is one request, as the fake saw it.
type Call struct {
	Seq     int       // 1, 2, … in order of arrival
	Time    time.Time // of arrival
	APIKey  string    // "" if none
	Action  string    // "" if there is no such path
	GroupID string
	Rule    int // number, 0 if none

	// The outcome, which a Hook sees only After.
	Status    int  // of the answer, 0 if a hook gave one that is no [Error]
	Committed bool // a group was changed
}

// A reply is what a call returns when it is carried out.
type reply struct {
	status    int
	body      any // nil for none
	committed bool
}

// A route is an action and how it is carried out.
type route struct {
	action string
	run    func(c Call, r *http.Request) (reply, error)
}

func (f *Fake) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, at := range map[string]route{
		"/":                                         {},
		"GET /v2/firewalls/{group}":                 {GetGroup, f.getGroup},
		"GET /v2/firewalls/{group}/rules":           {ListRules, f.listRules},
		"POST /v2/firewalls/{group}/rules":          {CreateRule, f.createRule},
		"GET /v2/firewalls/{group}/rules/{rule}":    {GetRule, f.getRule},
		"DELETE /v2/firewalls/{group}/rules/{rule}": {DeleteRule, f.deleteRule},
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, at) })
	}
	return mux
}

// ServeHTTP answers one request.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.mux.ServeHTTP(w, r) }

func (f *Fake) serve(w http.ResponseWriter, r *http.Request, at route) {
	call := Call{Seq: f.Number(), Time: f.options.Now(), Action: at.action, GroupID: r.PathValue("group")}
	call.APIKey, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	call.Rule, _ = strconv.Atoi(r.PathValue("rule"))
	if h := f.Ask(r.Context(), Before, call); h != nil {
		call.Status = statusOf(h)
		f.Log(call)
		h.ServeHTTP(w, r)
		return
	}
	out, err := f.carryOut(call, r, at)
	h := f.answer(out, err, jsonType)
	call.Status, call.Committed = out.status, out.committed
	if err != nil {
		call.Status = statusOf(h)
	}
	f.Log(call)
	if instead := f.Ask(r.Context(), After, call); instead != nil {
		h = instead
	}
	if h == OddAnswer {
		h = f.answer(out, err, jsonType+"; charset=utf-8")
	}
	h.ServeHTTP(w, r)
}

func statusOf(h http.Handler) int {
	if e, ok := h.(*Error); ok {
		return e.Status
	}
	return 0
}

func (f *Fake) answer(out reply, err error, contentType string) http.Handler {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if out.body == nil {
			w.WriteHeader(out.status)
			return
		}
		writeJSON(w, out.status, contentType, out.body)
	})
}

func (f *Fake) carryOut(call Call, r *http.Request, at route) (reply, error) {
	switch {
	case f.tooMany(r.RemoteAddr):
		return reply{}, Throttled.(*Error)
	case !slices.Contains(f.options.APIKeys, call.APIKey):
		return reply{}, errKey
	case at.run == nil:
		return reply{}, errNoPath
	case !f.options.Allow(call.APIKey, call.Action):
		return reply{}, errForbidden
	case !uuid.MatchString(call.GroupID):
		return reply{}, errFormat
	}
	return at.run(call, r)
}

// tooMany reports whether an address has had its requests of this second.
func (f *Fake) tooMany(address string) bool {
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.options.Now()
	recent := slices.DeleteFunc(f.recent[address], func(t time.Time) bool { return now.Sub(t) >= time.Second })
	over := f.options.Rate > 0 && len(recent) >= f.options.Rate
	if !over {
		recent = append(recent, now)
	}
	f.recent[address] = recent
	return over
}

func (f *Fake) getGroup(c Call, _ *http.Request) (reply, error) {
	g, err := f.store.count(c.GroupID)
	const date = "2026-11-21T00:00:00+00:00"
	return reply{status: http.StatusOK, body: map[string]any{"firewall_group": map[string]any{
		"id": g.id, "description": g.description, "date_created": date, "date_modified": date,
		"instance_count": g.instances, "rule_count": len(g.rules), "max_rule_count": f.options.MaxRules,
	}}}, err
}

func (f *Fake) getRule(c Call, _ *http.Request) (reply, error) {
	r, err := f.store.rule(c.GroupID, c.Rule)
	return reply{status: http.StatusOK, body: map[string]any{"firewall_rule": f.options.wire(r)}}, err
}

func (f *Fake) createRule(c Call, r *http.Request) (reply, error) {
	if r.Header.Get("Content-Type") != jsonType {
		return reply{}, refuse("Invalid JSON.")
	}
	var asked wireRequest
	body := json.NewDecoder(r.Body)
	body.DisallowUnknownFields()
	if err := body.Decode(&asked); err != nil {
		return reply{}, refuse("Invalid JSON: %v.", err)
	}
	if _, err := body.Token(); !errors.Is(err, io.EOF) {
		return reply{}, refuse("Invalid JSON.")
	}
	wanted, err := asked.rule()
	if err != nil {
		return reply{}, err
	}
	made, committed, err := f.store.add(c.GroupID, wanted)
	return reply{http.StatusCreated, map[string]any{"firewall_rule": f.options.wire(made)}, committed}, err
}

func (f *Fake) deleteRule(c Call, _ *http.Request) (reply, error) {
	committed, err := f.store.drop(c.GroupID, c.Rule)
	return reply{http.StatusNoContent, nil, committed}, err
}
