package digitalocean_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/digitalocean"
	"github.com/portsnare/portsnare/providers/fakes/dofake"
)

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

// without returns a token's scopes save one.
func without(scope string) map[string][]string {
	scopes := slices.DeleteFunc(slices.Clone(dofake.Scopes), func(s string) bool { return s == scope })
	return map[string][]string{dofake.DefaultToken: scopes}
}

// What users see when something is not as it must be.
func TestRefusals(t *testing.T) {
	const scopesPage = ", at https://cloud.digitalocean.com/account/api/tokens"
	ports := func(t *testing.T) []portsnare.Opening { return dual(t, "5/tcp") }
	for _, tt := range []struct {
		name       string
		options    dofake.Options
		prepare    func(l *lab)
		kind       portsnare.Kind
		text, hint string // {id} is our firewall
	}{
		{"an unknown token", dofake.Options{Tokens: map[string][]string{"another": dofake.Scopes}}, nil, portsnare.Denied,
			"digitalocean: read the rules of {id}: Unable to authenticate you (HTTP status 401)", hintToken},
		{"a token that may not read", dofake.Options{Tokens: without("firewall:read")}, nil, portsnare.Denied,
			"digitalocean: read the rules of {id}: You are not authorized to perform this operation (HTTP status 403)",
			"give the token the scope firewall:read" + scopesPage},
		{"a token that may not write", dofake.Options{Tokens: without("firewall:update")}, nil, portsnare.Denied,
			"digitalocean: open ports in {id}: You are not authorized to perform this operation (HTTP status 403)",
			"give the token the scope firewall:update" + scopesPage},
		{"an absent firewall", dofake.Options{}, func(l *lab) { l.do.RemoveFirewall(l.id) }, portsnare.NotFound,
			"digitalocean: read the rules of {id}: The resource you requested could not be found (HTTP status 404)",
			"is the id right, and the token of the team that has the firewall? `doctl compute firewall list` shows what it sees"},
		{"somebody else's firewall", dofake.Options{}, func(l *lab) { l.options.FirewallID = l.other }, portsnare.Invalid,
			`digitalocean: use {other}: the firewall is named "web", not "portsnare-tokyo.web"`,
			"DigitalOcean's rules bear no mark, so traps need a firewall of their own: make one that is named portsnare-tokyo.web and attach it by tag, and leave the protected ports in another"},
		{"another group's firewall", dofake.Options{}, func(l *lab) { l.options.Mark = "tokyo/db" }, portsnare.Invalid,
			`digitalocean: use {id}: the firewall is named "portsnare-tokyo.web", not "portsnare-tokyo.db"`,
			"DigitalOcean's rules bear no mark, so traps need a firewall of their own: make one that is named portsnare-tokyo.db and attach it by tag, and leave the protected ports in another"},
		{"no such host", dofake.Options{}, func(l *lab) { l.options.Transport = unresolved{} }, portsnare.NotFound,
			"digitalocean: read the rules of {id}: lookup api.invalid: no such host",
			"is DIGITALOCEAN_API_URL right, where it is set? Else look at the name service of this machine"},
		{"a page of something else", dofake.Options{}, func(l *lab) {
			l.do.Intercept(dofake.First(9, dofake.Before, "", dofake.BadGateway))
		}, portsnare.Transient, "digitalocean: read the rules of {id}: the answer is no reply of DigitalOcean (HTTP status 502)", ""},
		{"a good page of something else", dofake.Options{}, func(l *lab) {
			l.do.Intercept(dofake.First(9, dofake.Before, "", dofake.OddAnswer))
		}, portsnare.Transient, "digitalocean: read the rules of {id}: the answer is no firewall", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLabUnjudged(t, tt.options)
			if tt.prepare != nil {
				tt.prepare(l)
			}
			l.Firewall = l.open(l.options)
			_, _, err := l.step(ports(t))
			wantError(t, err, tt.kind, l.fill(tt.text), tt.hint)
			if got := l.inbound(); len(got) != 0 {
				t.Errorf("rules %v, want none", got)
			}
		})
	}
}

type unresolved struct{}

func (unresolved) RoundTrip(*http.Request) (*http.Response, error) { return nil, errNoHost }

func TestFullFirewall(t *testing.T) {
	l := newLab(t, dofake.Options{}, 48)
	l.reach(dual(t, "5/tcp", "7/tcp"))
	calls := len(l.do.Calls())
	_, done, err := l.step(dual(t, "5/tcp", "7/tcp", "9/tcp"))
	wantError(t, err, portsnare.LimitExceeded,
		"digitalocean: open ports in "+l.id+": it would hold 51 rules, inbound and outbound; 50 are allowed",
		"open fewer traps, or remove rules of others from the firewall")
	if n := len(l.writes(calls)); n != 0 || done.Writes != 0 {
		t.Errorf("%d writes were sent, Done counts %d", n, done.Writes)
	}
}

// A vendor that says when to come again is heard: by Retry-After, and where the
// calls of an hour are used up by ratelimit-reset.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name    string
		headers map[string]string
		want    time.Duration
	}{
		{"nothing said", nil, 0},
		{"a minute's calls", map[string]string{"Retry-After": "31"}, 31 * time.Second},
		{"an hour's calls", map[string]string{"Date": now.Format(http.TimeFormat), "ratelimit-remaining": "0", "ratelimit-reset": itoa(int(now.Unix()) + 90)}, 90 * time.Second},
		{"some are left", map[string]string{"Date": now.Format(http.TimeFormat), "ratelimit-remaining": "7", "ratelimit-reset": itoa(int(now.Unix()) + 90)}, 0},
		{"in the past", map[string]string{"Date": now.Format(http.TimeFormat), "ratelimit-remaining": "0", "ratelimit-reset": "1"}, 0},
		{"garbled", map[string]string{"Retry-After": "soon"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for name, value := range tt.headers {
					w.Header().Set(name, value)
				}
				dofake.TooManyRequests(0).ServeHTTP(w, r)
			}))
			defer server.Close()
			f, err := digitalocean.New(digitalocean.Options{FirewallID: someID, Mark: mark, Token: "t", Endpoint: server.URL, Pace: rate.NewLimiter(rate.Inf, 0)})
			noError(t, err)
			_, err = f.Rules(t.Context())
			wantError(t, err, portsnare.RateLimited, "digitalocean: read the rules of "+someID+": API rate limit exceeded (HTTP status 429)", "")
			if got := portsnare.RetryAfterOf(err); got != tt.want {
				t.Errorf("RetryAfter %s, want %s", got, tt.want)
			}
		})
	}
}

// A token is not carried to wherever an answer points.
func TestNoRedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirection was followed")
	}))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer server.Close()
	f, err := digitalocean.New(digitalocean.Options{FirewallID: someID, Mark: mark, Token: "t", Endpoint: server.URL})
	noError(t, err)
	_, err = f.Rules(t.Context())
	wantError(t, err, portsnare.Invalid, "", "")
}

func TestTimeout(t *testing.T) {
	l := newLabUnjudged(t, dofake.Options{})
	l.do.Intercept(func(ctx context.Context, _ dofake.Stage, _ dofake.Call) http.Handler {
		<-ctx.Done()
		return dofake.Drop
	})
	l.SetTimeout(20 * time.Millisecond)
	_, err := l.Rules(t.Context())
	wantError(t, err, portsnare.Transient, "digitalocean: read the rules of "+l.id+": no answer within 20ms", "")
}
