package digitalocean_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/dofake"
)

const hintReplace = "attach the firewall by tag and use the newest version, or do not ask for it to be replaced whole"

// A PUT names all that it would reset otherwise: rules that refuse and rules of
// others as they were, outbound rules, Droplets, tags.
func TestReplaceKeepsTheRest(t *testing.T) {
	l := newLab(t, dofake.Options{}, 0)
	l.options.Replace = true
	l.Firewall = l.open(l.options)
	for _, r := range []dofake.Rule{
		{Protocol: "tcp", Ports: "7000", Action: "deny", Sources: from("0.0.0.0/0")},
		{Protocol: "icmp", Ports: "0", Sources: from("0.0.0.0/0", "::/0")},
		{Protocol: "tcp", Ports: "443", Sources: &dofake.Target{
			Addresses: []string{"192.0.2.7"}, Tags: []string{"blue"}, DropletIDs: []int{103}, LoadBalancerIDs: []string{"4de7ac8b"}, KubernetesIDs: []string{"41b74c5d"}}},
	} {
		noError(t, l.do.AddRule(l.id, r))
	}
	noError(t, l.attach(103))
	before := l.do.Firewall(l.id)
	calls := len(l.do.Calls())
	l.reach(dual(t, "7000/tcp", "8000-8009/tcp"))
	l.reach(dual(t, "7000/tcp", "9000/tcp"))
	l.reach(nil)
	if d := cmp.Diff([]string{"PUT /v2/firewalls/ID", "PUT /v2/firewalls/ID", "PUT /v2/firewalls/ID"}, l.writes(calls)); d != "" {
		t.Errorf("writes (-want +got):\n%s", d)
	}
	if d := cmp.Diff(before, l.do.Firewall(l.id), ignoreUnexported); d != "" {
		t.Errorf("firewall (-before +after):\n%s", d)
	}
}

// An empty list is sent as one. null would be refused, or worse.
func TestNothingIsSentAsNull(t *testing.T) {
	for _, replace := range []bool{false, true} {
		l := newLab(t, dofake.Options{}, 0)
		l.options.Replace = replace
		l.Firewall = l.open(l.options)
		l.reach(dual(t, "5/tcp"))
		l.reach(nil)
		for _, call := range l.do.Calls() {
			if call.Writes() && (strings.Contains(call.Body, "null") || !json.Valid([]byte(call.Body))) {
				t.Errorf("%s %s", call.Method, call.Body)
			}
		}
	}
}

// Where the token does not see all that is attached, what it does not see would
// be detached: nothing is written.
func TestReplaceRefuses(t *testing.T) {
	const page = ", at https://cloud.digitalocean.com/account/api/tokens"
	for _, tt := range []struct {
		name       string
		options    dofake.Options
		prepare    func(l *lab) error
		kind       portsnare.Kind
		text, hint string
	}{
		{"Droplets unseen", dofake.Options{Tokens: without("droplet:read")}, nil, portsnare.Denied,
			"digitalocean: see the Droplets of {id}: You are not authorized to perform this operation (HTTP status 403)",
			"give the token the scope droplet:read" + page},
		{"tags unseen", dofake.Options{Tokens: without("tag:read")}, nil, portsnare.Denied,
			"digitalocean: see the tags of {id}: You are not authorized to perform this operation (HTTP status 403)",
			"give the token the scope tag:read" + page},
		{"attached by no tag", dofake.Options{}, (*lab).untag, portsnare.Invalid,
			"digitalocean: replace the rules of {id}: the firewall is attached by no tag", hintReplace},
		{"more than is known", dofake.Options{}, (*lab).newField, portsnare.Invalid,
			`digitalocean: replace the rules of {id}: DigitalOcean tells more than this version knows (json: unknown field "priority"), which would be lost`, hintReplace},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLabUnjudged(t, tt.options)
			l.options.Replace = true
			if tt.prepare != nil {
				noError(t, tt.prepare(l))
			}
			l.Firewall = l.open(l.options)
			_, _, err := l.step(dual(t, "5/tcp"))
			wantError(t, err, tt.kind, l.fill(tt.text), tt.hint)
			if n := len(l.do.Firewall(l.id).Inbound); n != 0 {
				t.Errorf("%d rules were written", n)
			}
		})
	}
}

// newField lets DigitalOcean tell more of a firewall than it does today.
func (l *lab) newField() error {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		l.do.ServeHTTP(answer, r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer.Code)
		_, _ = w.Write([]byte(strings.Replace(answer.Body.String(), `"status"`, `"priority":1,"status"`, 1)))
	}))
	l.t.Cleanup(server.Close)
	l.options.Endpoint = server.URL
	return nil
}
