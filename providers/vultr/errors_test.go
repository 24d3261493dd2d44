package vultr_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/fakeapi"
	"github.com/portsnare/portsnare/providers/fakes/vultrfake"
	"github.com/portsnare/portsnare/providers/vultr"
)

const (
	hintGroup = "set the group's `firewall` to the id of a firewall group of this account; `vultr-cli firewall group list` shows them"
	hintKey   = "is the API key right, and does the API's access control at https://my.vultr.com/settings/#settingsapi admit this machine's address?"
	hintRight = "let the user of the API key manage firewalls, at https://my.vultr.com/settings/#settingsusers"
	hintRate  = "Vultr answers 30 requests a second for each address: does another program here use its API?"
	hintHost  = "correct VULTR_API_ENDPOINT, or unset it"
)

func refusal(status int, message string) http.Handler {
	return &vultrfake.Error{Status: status, Message: message}
}

// text answers with anything.
func text(status int, contentType, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// server returns a lab whose Firewall meets the handler instead of the fake.
func server(t *testing.T, h http.Handler) *lab {
	t.Helper()
	l := newLab(t, unlimited())
	other := httptest.NewServer(h)
	t.Cleanup(other.Close)
	l.Firewall = l.firewall(vultr.Options{Endpoint: other.URL})
	return l
}

func TestErrorsOfVultr(t *testing.T) {
	const noReply = "the answer is no reply of Vultr's API (HTTP status "
	for _, tt := range []struct {
		answer http.Handler
		kind   portsnare.Kind
		text   string // behind "vultr: open ports in …: "
		hint   string
	}{
		{refusal(400, "This rule is already defined"), portsnare.Conflict, "This rule is already defined (HTTP status 400)", ""},
		{refusal(400, "Invalid port."), portsnare.Invalid, "Invalid port (HTTP status 400)", ""},
		{refusal(401, "Invalid API token."), portsnare.Denied, "Invalid API token (HTTP status 401)", hintKey},
		{refusal(401, "Unauthorized IP address: 192.0.2.1"), portsnare.Denied, "Unauthorized IP address: 192.0.2.1 (HTTP status 401)", hintKey},
		{refusal(403, "Unauthorized"), portsnare.Denied, "Unauthorized (HTTP status 403)", hintRight},
		{refusal(404, "Invalid firewall group."), portsnare.NotFound, "Invalid firewall group (HTTP status 404)", hintGroup},
		{refusal(422, "no"), portsnare.Invalid, "no (HTTP status 422)", ""},
		{refusal(408, "slow"), portsnare.Transient, "slow (HTTP status 408)", ""},
		{vultrfake.Throttled, portsnare.RateLimited, "rate limit exceeded (HTTP status 429)", hintRate},
		{vultrfake.InternalError, portsnare.Transient, "Server error (HTTP status 500)", ""},
		{vultrfake.Unavailable, portsnare.Transient, "Service unavailable (HTTP status 503)", ""},
		{vultrfake.BadGateway, portsnare.Transient, noReply + "502)", ""},
		{text(429, "text/html", "<html>"), portsnare.RateLimited, noReply + "429)", hintRate},
		{text(404, "text/html", "<html>"), portsnare.Invalid, noReply + "404)", hintHost},
		{text(301, "text/html", "<html>"), portsnare.Invalid, noReply + "301)", hintHost},
		// What govultr takes for a success, or cannot read.
		{text(201, "application/json", ""), portsnare.Transient, noReply + "201)", ""},
		{text(201, "application/json", "{}"), portsnare.Transient, noReply + "201)", ""},
		{text(201, "text/plain", `{"firewall_rule":{"id":3}}`), portsnare.Transient, noReply + "201)", ""},
		{text(200, "text/html", "<html>"), portsnare.Transient, noReply + "200)", ""},
		{text(200, "application/json", `{"firewall_rule":`), portsnare.Transient, noReply + "200)", ""},
		{text(200, "application/json", `{"error":"half done","status":200}`), portsnare.Transient, "half done (HTTP status 200)", ""},
		{text(204, "application/json", ""), portsnare.Transient, noReply + "204)", ""},
	} {
		t.Run(tt.text, func(t *testing.T) {
			requests := 0
			l := server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					requests++
				}
				tt.answer.ServeHTTP(w, r)
			}))
			done, err := l.Apply(context.Background(), portsnare.Plan{Open: v4(t, "5/tcp")})
			wantError(t, err, tt.kind, "vultr: open ports in "+l.group+": "+tt.text, tt.hint)
			wantDone(t, done, portsnare.Done{})
			if requests != 1 {
				t.Errorf("%d requests, want 1: retrying is the caller's", requests)
			}
		})
	}
}

// An empty list is a firewall in which all is closed, so nothing else may look
// like one.
func TestListsThatAreNone(t *testing.T) {
	group := `{"firewall_group":{"id":"x","rule_count":0,"max_rule_count":50}}`
	for _, body := range []string{"", "{}", "null", `{"firewall_rules":[]}`, `{"firewall_rules":[],"meta":null}`} {
		l := server(t, text(200, "application/json", body))
		_, err := l.Rules(context.Background())
		wantError(t, err, portsnare.Transient, "vultr: read the rules of "+l.group+": the answer is no reply of Vultr's API (HTTP status 200)", "")
	}
	for _, body := range []string{"", "{}", "null", `{"firewall_group":null}`} {
		l := server(t, text(200, "application/json", body))
		_, err := l.Limits(context.Background())
		wantError(t, err, portsnare.Transient, "vultr: find "+l.group+": the answer is no reply of Vultr's API (HTTP status 200)", "")
	}
	l := server(t, text(200, "application/json; charset=utf-8", group))
	limits, err := l.Limits(context.Background())
	if err != nil || limits.Rules != 50 {
		t.Errorf("limits %+v, error %v; want 50 rules", limits, err)
	}
}

// A group that is gone must never look like one in which all is closed, even if
// its list does.
func TestAbsentGroup(t *testing.T) {
	l := newLab(t, unlimited())
	gone := func(op string, err error) {
		t.Helper()
		wantError(t, err, portsnare.NotFound, "vultr: "+op+" "+l.group+": Firewall group ID not found (HTTP status 404)", hintGroup)
	}
	l.vultr.DeleteGroup(l.group)
	_, err := l.Rules(context.Background())
	gone("read the rules of", err)
	_, err = l.Limits(context.Background())
	gone("find", err)
	_, err = l.Apply(context.Background(), portsnare.Plan{Open: v4(t, "5/tcp")})
	gone("open ports in", err)
	l.vultr.Intercept(vultrfake.First(1, vultrfake.Before, vultrfake.ListRules,
		text(200, "application/json", `{"firewall_rules":[],"meta":{"total":0,"links":{"next":"","prev":""}}}`)))
	_, err = l.Rules(context.Background())
	gone("find", err)
}

func TestEmptyGroup(t *testing.T) {
	l := newLab(t, unlimited())
	l.group = l.vultr.CreateGroup("empty")
	rules, err := l.firewall(vultr.Options{}).Rules(context.Background())
	if err != nil || len(rules) != 0 {
		t.Errorf("Rules = %v, %v; want none", rules, err)
	}
}

func TestErrorsOfRights(t *testing.T) {
	l := newLab(t, unlimited())
	_, err := l.firewall(vultr.Options{APIKey: "NOTAKEY"}).Rules(context.Background())
	wantError(t, err, portsnare.Denied, "vultr: read the rules of "+l.group+": Invalid API token (HTTP status 401)", hintKey)

	o := unlimited()
	o.Allow = func(_, action string) bool { return action != vultrfake.DeleteRule }
	l = newLab(t, o)
	l.reach(v4(t, "5/tcp"))
	plan := l.plan(v4(t, "6/tcp"))
	done, err := l.Apply(context.Background(), plan)
	wantError(t, err, portsnare.Denied, "vultr: close ports in "+l.group+": Unauthorized (HTTP status 403)", hintRight)
	wantDone(t, done, portsnare.Done{Opened: plan.Open, Writes: 1})
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{"7": 7 * time.Second, "": 0, "0": 0, "-1": 0, "soon": 0} {
		l := server(t, &vultrfake.Error{Status: 429, Message: "rate limit exceeded", RetryAfter: header})
		_, err := l.Rules(context.Background())
		wantError(t, err, portsnare.RateLimited, "vultr: read the rules of "+l.group+": rate limit exceeded (HTTP status 429)", hintRate)
		if got := portsnare.RetryAfterOf(err); got != want {
			t.Errorf("Retry-After %q: %s, want %s", header, got, want)
		}
	}
}

// The key goes to the endpoint and nowhere else.
func TestRedirectIsNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s came elsewhere, with the authorization %q", r.Method, r.URL, r.Header.Get("Authorization"))
	}))
	t.Cleanup(elsewhere.Close)
	l := server(t, http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	_, err := l.Rules(context.Background())
	wantError(t, err, portsnare.Invalid, "vultr: read the rules of "+l.group+": the answer is no reply of Vultr's API (HTTP status 307)", hintHost)
}

// broken fails every request in the same way.
type broken struct{ err error }

func (b broken) RoundTrip(*http.Request) (*http.Response, error) { return nil, b.err }

func TestErrorsOfTheNetwork(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, tt := range []struct {
		name string
		err  error
		kind portsnare.Kind
		hint string
	}{
		{"no such host", dial(&net.DNSError{Err: "no such host", Name: "api.vultr.test", IsNotFound: true}), portsnare.NotFound, hintHost},
		{"no name server", dial(&net.DNSError{Err: "server misbehaving", IsTemporary: true}), portsnare.Transient, ""},
		{"refused", dial(errors.New("connection refused")), portsnare.Transient, ""},
		{"broken off", io.ErrUnexpectedEOF, portsnare.Transient, ""},
		{"a proxy's certificate", &tls.CertificateVerificationError{Err: errors.New("unknown authority")}, portsnare.Invalid,
			"if a proxy stands in between, name the file of its certificate authority in SSL_CERT_FILE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, unlimited())
			_, err := l.firewall(vultr.Options{Transport: broken{tt.err}}).Rules(context.Background())
			wantError(t, err, tt.kind, "vultr: read the rules of "+l.group+": "+tt.err.Error(), tt.hint)
			if !errors.Is(err, tt.err) {
				t.Errorf("error %v does not unwrap to %v", err, tt.err)
			}
		})
	}
}

// An answer that breaks off is none.
func TestHalfAnAnswer(t *testing.T) {
	l := server(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"firewall_rules":[],"meta":{}}`)
	}))
	_, err := l.Rules(context.Background())
	wantError(t, err, portsnare.Transient, "vultr: read the rules of "+l.group+": unexpected EOF", "")
}

func TestErrorOfAnUnknownAuthority(t *testing.T) {
	l := newLab(t, unlimited())
	other := httptest.NewUnstartedServer(l.vultr)
	other.Config.ErrorLog = log.New(io.Discard, "", 0)
	other.StartTLS()
	t.Cleanup(other.Close)
	_, err := l.firewall(vultr.Options{Endpoint: other.URL}).Rules(context.Background())
	wantError(t, err, portsnare.Invalid,
		"vultr: read the rules of "+l.group+": tls: failed to verify certificate: x509: certificate signed by unknown authority",
		"if a proxy stands in between, name the file of its certificate authority in SSL_CERT_FILE")
}

func TestTimeout(t *testing.T) {
	l := newLab(t, unlimited())
	l.vultr.Intercept(vultrfake.First(1, vultrfake.Before, "", fakeapi.Silence))
	l.SetTimeout(50 * time.Millisecond)
	_, err := l.Rules(context.Background())
	wantError(t, err, portsnare.Transient, "vultr: read the rules of "+l.group+": no answer within 50ms", "")
}

// Who is called off while waiting for a turn sends nothing.
func TestCancelWhileWaiting(t *testing.T) {
	l := newLab(t, unlimited())
	pace := rate.NewLimiter(rate.Every(time.Hour), 1)
	pace.Allow()
	f := l.firewall(vultr.Options{Pace: pace})
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err := f.Rules(ctx)
	wantError(t, err, portsnare.Transient, "vultr: read the rules of "+l.group+": context canceled", "")
	if !errors.Is(err, context.Canceled) || len(l.vultr.Calls()) != 0 {
		t.Errorf("error %v, %d calls; want %v and none", err, len(l.vultr.Calls()), context.Canceled)
	}
}
