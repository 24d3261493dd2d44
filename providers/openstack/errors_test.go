package openstack_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/openstack"
)

const (
	hintCredential = "is the credential right, and not expired? `openstack token issue` tells"
	hintPolicy     = "give the user, or the application credential, the role member on the project of the group; Neutron's policy rule is "
)

func TestErrorsOfNeutron(t *testing.T) {
	header := func(pairs ...string) http.Header {
		h := http.Header{"Content-Type": {"application/json"}}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	html := http.Header{"Content-Type": {"text/html"}}
	tests := []struct {
		answer answer
		kind   portsnare.Kind
		text   string // behind "openstack: open ports in …: "
		hint   string
		after  time.Duration
	}{
		{answer{401, jsonHeader, []byte(`{"error": {"message": "The request you have made requires authentication.", "code": 401, "title": "Unauthorized"}}`)},
			portsnare.Denied, "The request you have made requires authentication (Unauthorized)", hintCredential, 0},
		{answer{409, jsonHeader, neutronError("SecurityGroupConflict", "in use")}, portsnare.Conflict, "in use (SecurityGroupConflict)", "", 0},
		{answer{400, jsonHeader, neutronError("SecurityGroupInvalidPortValue", "Invalid value for port 0")}, portsnare.Invalid,
			"Invalid value for port 0 (SecurityGroupInvalidPortValue)", "", 0},
		{answer{429, html, []byte("slow down")}, portsnare.RateLimited, "the answer is no reply of OpenStack (HTTP status 429)", "", 0},
		{answer{429, header("Retry-After", "7"), nil}, portsnare.RateLimited, "the answer is no reply of OpenStack (HTTP status 429)", "", 7 * time.Second},
		{answer{503, header("Retry-After", "Sat, 21 Nov 2026 21:00:30 GMT", "Date", "Sat, 21 Nov 2026 21:00:00 GMT"), nil}, portsnare.Transient,
			"the answer is no reply of OpenStack (HTTP status 503)", "", 30 * time.Second},
		{answer{503, header("Retry-After", "Sat, 21 Nov 2026 20:59:30 GMT", "Date", "Sat, 21 Nov 2026 21:00:00 GMT"), nil}, portsnare.Transient, "", "", 0},
		{answer{503, header("Retry-After", "soon"), nil}, portsnare.Transient, "", "", 0},
		{answer{503, header("Retry-After", "-5"), nil}, portsnare.Transient, "", "", 0},
		{answer{500, jsonHeader, neutronError("HTTPInternalServerError", "Request Failed: internal server error while processing your request.")}, portsnare.Transient,
			"Request Failed: internal server error while processing your request (HTTPInternalServerError)", "", 0},
		{answer{502, html, []byte("<html>")}, portsnare.Transient, "the answer is no reply of OpenStack (HTTP status 502)", "", 0},
		{answer{408, html, nil}, portsnare.Transient, "the answer is no reply of OpenStack (HTTP status 408)", "", 0},
		{answer{418, html, nil}, portsnare.Invalid, "the answer is no reply of OpenStack (HTTP status 418)", "", 0},
		{answer{200, jsonHeader, []byte("{}")}, portsnare.Transient, "the answer is no reply of OpenStack (HTTP status 200)", "", 0},
		{answer{201, jsonHeader, []byte("{}")}, portsnare.Transient, "the answer is no reply of OpenStack", "", 0},
		{answer{201, html, []byte("<html>")}, portsnare.Transient, "the answer is no reply of OpenStack", "", 0},
		{answer{201, jsonHeader, []byte(`{"security_group_rules": "many"}`)}, portsnare.Transient, "the answer is no reply of OpenStack", "", 0},
	}
	l := newLab(t)
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			before := len(l.line.made(0))
			l.line.replace(func(r *http.Request) *answer {
				if r.Method == http.MethodGet {
					return nil
				}
				return &tt.answer
			})
			done, err := l.Apply(context.Background(), portsnare.Plan{Open: v4(t, "5/tcp")})
			if tt.text != "" {
				tt.text = "openstack: open ports in " + l.group + ": " + tt.text
			}
			wantError(t, err, tt.kind, tt.text, tt.hint)
			if hint := portsnare.HintOf(err); tt.hint == "" && hint != "" {
				t.Errorf("hint %q, want none", hint)
			}
			if e, ok := errors.AsType[*portsnare.Error](err); !ok || e.RetryAfter != tt.after {
				t.Errorf("error %+v, want RetryAfter %s", e, tt.after)
			}
			if got := writes(l.line.made(before)); len(got) != 1 || done.Writes != 0 {
				t.Errorf("writes %v, done %+v; want one, and nothing done: retrying is the caller's", got, done)
			}
		})
	}
}

func TestErrorUnwrapsToThatOfTheSDK(t *testing.T) {
	l := newLab(t)
	l.line.speakAs(identity("project-other", member))
	_, err := l.Rules(context.Background())
	var answer gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &answer) || answer.Actual != http.StatusNotFound {
		t.Errorf("error %v does not unwrap to that of the SDK", err)
	}
}

// Neutron itself refuses: a reader may look but not touch; nobody may nothing.
func TestErrorsOfAWeakRole(t *testing.T) {
	l := newLab(t)
	l.reach(v4(t, "5/tcp"))
	l.line.speakAs(identity(l.project, "reader"))
	rules, err := l.Rules(context.Background())
	noError(t, err)
	for _, tt := range []struct {
		plan       portsnare.Plan
		op, policy string
	}{
		{portsnare.Plan{Open: v4(t, "6/tcp"), Close: rules}, "open ports in", "create_security_group_rule"},
		{portsnare.Plan{Close: rules}, "close ports in", "delete_security_group_rule"},
	} {
		done, err := l.Apply(context.Background(), tt.plan)
		wantError(t, err, portsnare.Denied, "openstack: "+tt.op+" "+l.group+
			": rule:"+tt.policy+" is disallowed by policy (PolicyNotAuthorized)", hintPolicy+tt.policy)
		if done.Writes+len(done.Opened)+len(done.Closed) != 0 {
			t.Errorf("done %+v, want nothing", done)
		}
	}
	l.line.speakAs(http.Header{})
	_, err = l.Rules(context.Background())
	wantError(t, err, portsnare.Denied, "openstack: read the rules of "+l.group+": the answer is no reply of OpenStack (HTTP status 401)", hintCredential)
}

// transport fails every call in the same way.
type transport struct{ err error }

func (t transport) RoundTrip(*http.Request) (*http.Response, error) { return nil, t.err }

const group = "b985643f-3424-4e67-9768-8f8e3e9f0112"

func TestErrorsOfTheNetwork(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, tt := range []struct {
		name string
		err  error
		kind portsnare.Kind
		hint string
	}{
		{"no such name", dial(&net.DNSError{Err: "no such host", Name: "cloud.example", IsNotFound: true}), portsnare.NotFound,
			"is OS_AUTH_URL, or auth_url in clouds.yaml, the address of the cloud's identity service?"},
		{"no name server", dial(&net.DNSError{Err: "server misbehaving", IsTemporary: true}), portsnare.Transient, ""},
		{"refused", dial(errors.New("connection refused")), portsnare.Transient, ""},
		{"cut", io.ErrUnexpectedEOF, portsnare.Transient, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := client("http://cloud.example", nil)
			c.ProviderClient.HTTPClient.Transport = transport{tt.err}
			_, err := openstack.New(c, group, mark).Rules(context.Background())
			wantError(t, err, tt.kind, "openstack: read the rules of "+group+
				`: Get "http://cloud.example/v2.0/security-groups/`+group+`": `+tt.err.Error(), tt.hint)
		})
	}
}

func TestErrorOfAnUnknownAuthority(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	_, err := openstack.New(client(server.URL, nil), group, mark).Rules(context.Background())
	wantError(t, err, portsnare.Invalid, "", "name the file of the cloud's certificate authority in OS_CACERT, or cacert in clouds.yaml")
}

func TestTimeout(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(server.Close)
	f := openstack.New(client(server.URL, nil), group, mark)
	f.SetTimeout(50 * time.Millisecond)
	_, err := f.Rules(context.Background())
	wantError(t, err, portsnare.Transient, "openstack: read the rules of "+group+": no answer within 50ms", "")
}
