package dofake_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/portsnare/portsnare/providers/fakes/dofake"
	"github.com/portsnare/portsnare/providers/fakes/judge"
)

// A lab is a fake with one firewall that has one inbound rule, behind a server
// that is judged by DigitalOcean's OpenAPI file.
type lab struct {
	*dofake.Fake
	t     *testing.T
	url   string
	id    string
	token string
}

var ssh = dofake.Rule{Protocol: "tcp", Ports: "22", Action: "allow", Sources: &dofake.Target{Addresses: []string{"0.0.0.0/0", "::/0"}}}

func newLab(t *testing.T, o dofake.Options) *lab {
	t.Helper()
	if o.Droplets == nil {
		o.Droplets = map[int][]string{101: {"web"}, 102: {"web"}, 103: {"db"}}
	}
	l := &lab{Fake: dofake.New(o), t: t, token: dofake.DefaultToken}
	id, err := l.AddFirewall(dofake.Firewall{Name: "web", Inbound: []dofake.Rule{ssh}, Tags: []string{"web"}, DropletIDs: []int{103}})
	noError(t, err)
	l.id = id
	strict := judge.Wrap(t, "digitalocean-firewalls.openapi.yaml", l.Fake)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Unjudged") != "" { // a request that breaks the file's word on purpose
			l.ServeHTTP(w, r)
			return
		}
		strict.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

// reply is what was answered.
type reply struct {
	status int
	header http.Header
	body   string
}

// call sends one request. ID in its path and body is the firewall's.
func (l *lab) call(method, path, body string, headers ...string) reply {
	l.t.Helper()
	fill := strings.NewReplacer("ID", l.id)
	r, err := http.NewRequestWithContext(l.t.Context(), method, l.url+"/v2/"+fill.Replace(path), strings.NewReader(fill.Replace(body)))
	noError(l.t, err)
	r.Header.Set("Authorization", "Bearer "+l.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	noError(l.t, err)
	text, err := io.ReadAll(answer.Body)
	noError(l.t, err)
	noError(l.t, answer.Body.Close())
	return reply{answer.StatusCode, answer.Header, string(text)}
}

// want calls and demands a status and, if it is not empty, a message.
func (l *lab) want(status int, message, method, path, body string, headers ...string) reply {
	l.t.Helper()
	got := l.call(method, path, body, headers...)
	var e struct{ ID, Message string }
	if got.status >= 400 && json.Unmarshal([]byte(got.body), &e) != nil {
		l.t.Errorf("%s %s: the answer is no error: %s", method, path, got.body)
	}
	if got.status != status || message != "" && !strings.Contains(e.Message, message) {
		l.t.Errorf("%s %s %s\n got %d %s\nwant %d %s", method, path, body, got.status, got.body, status, message)
	}
	return got
}

// shown returns the firewall as a GET shows it, without what changes by itself.
func (l *lab) shown() string {
	l.t.Helper()
	var root struct{ Firewall map[string]any }
	noError(l.t, json.Unmarshal([]byte(l.want(200, "", "GET", "firewalls/ID", "").body), &root))
	delete(root.Firewall, "created_at")
	delete(root.Firewall, "id")
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	noError(l.t, encoder.Encode(root.Firewall))
	return strings.TrimSpace(text.String())
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
