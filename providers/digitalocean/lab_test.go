package digitalocean_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/digitalocean"
	"github.com/portsnare/portsnare/providers/fakes/dofake"
	"github.com/portsnare/portsnare/providers/fakes/judge"
)

const (
	mark = portsnare.Mark("tokyo/web")
	name = "portsnare-tokyo.web"
)

var (
	anyV4     = portsnare.AnySource()[0]
	protected = portsnare.PortSetOf(portsnare.Port{Protocol: portsnare.TCP, Number: 22})
)

var (
	ignoreUnexported = cmpopts.IgnoreUnexported(dofake.Firewall{})
	errNoHost        = &net.DNSError{Err: "no such host", Name: "api.invalid", IsNotFound: true}
)

// A lab is DigitalOcean with a firewall of ours that two Droplets have by their
// tag, one that is somebody else's, and a Firewall in front of ours by the real
// SDK. What is asked below /v2/firewalls and what is answered is judged by
// DigitalOcean's OpenAPI file where that is at hand.
type lab struct {
	do *dofake.Fake
	*digitalocean.Firewall
	t       *testing.T
	url     string
	id      string // of our firewall
	other   string // of somebody else's, which admits 22/tcp
	options digitalocean.Options
}

// newLab returns a lab with this many outbound rules in our firewall, at least
// the three that let everything out.
func newLab(t *testing.T, o dofake.Options, outbound int) *lab {
	t.Helper()
	return makeLab(t, o, outbound, judged)
}

// newLabUnjudged is for what DigitalOcean's file does not describe: pages of
// others, connections that never come.
func newLabUnjudged(t *testing.T, o dofake.Options) *lab {
	t.Helper()
	return makeLab(t, o, 0, func(_ *testing.T, h http.Handler) http.Handler { return h })
}

func makeLab(t *testing.T, o dofake.Options, outbound int, wrap func(*testing.T, http.Handler) http.Handler) *lab {
	t.Helper()
	o.Unmetered = true
	o.Droplets = map[int][]string{101: {"web"}, 102: {"web", "blue"}, 103: {"db"}}
	l := &lab{do: dofake.New(o), t: t}
	server := httptest.NewServer(wrap(t, l.do))
	t.Cleanup(server.Close)
	l.url = server.URL
	out := dofake.OpenOutbound()
	for port := 9000; len(out) < outbound; port++ {
		out = append(out, dofake.Rule{Protocol: "udp", Ports: itoa(port), Destinations: &dofake.Target{Addresses: []string{"192.0.2.1"}}, Action: "allow"})
	}
	var err error
	l.id, err = l.do.AddFirewall(dofake.Firewall{Name: name, Outbound: out, Tags: []string{"web"}})
	noError(t, err)
	l.other, err = l.do.AddFirewall(dofake.Firewall{Name: "web", Outbound: out, Tags: []string{"web"}, Inbound: []dofake.Rule{
		{Protocol: "tcp", Ports: "22", Action: "allow", Sources: &dofake.Target{Addresses: []string{"0.0.0.0/0", "::/0"}}},
	}})
	noError(t, err)
	before := l.do.Firewall(l.other)
	t.Cleanup(func() {
		if d := cmp.Diff(before, l.do.Firewall(l.other), ignoreUnexported); d != "" {
			t.Errorf("somebody else's firewall (-before +after):\n%s", d)
		}
	})
	l.options = digitalocean.Options{
		FirewallID: l.id, Mark: mark, Token: dofake.DefaultToken, Endpoint: l.url, Pace: rate.NewLimiter(rate.Inf, 0),
	}
	l.Firewall = l.open(l.options)
	return l
}

func (l *lab) open(o digitalocean.Options) *digitalocean.Firewall {
	l.t.Helper()
	f, err := digitalocean.New(o)
	noError(l.t, err)
	f.Hasten(time.Microsecond, 10*time.Second)
	return f
}

// judged has the firewall endpoints judged. The file has no others.
func judged(t *testing.T, next http.Handler) http.Handler {
	strict := judge.Wrap(t, "digitalocean-firewalls.openapi.yaml", next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2/firewalls") {
			strict.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// writes returns the methods and paths of the writing calls from the nth call
// on, without the firewall's id.
func (l *lab) writes(n int) []string {
	var sent []string
	for _, call := range l.do.Calls()[n:] {
		if call.Writes() {
			sent = append(sent, call.Method+" "+strings.ReplaceAll(call.Path, l.id, "ID"))
		}
	}
	return sent
}

// step reads, plans and applies once, as a rotation does.
func (l *lab) step(openings []portsnare.Opening) (portsnare.Plan, portsnare.Done, error) {
	rules, err := l.Rules(l.t.Context())
	if err != nil {
		return portsnare.Plan{}, portsnare.Done{}, err
	}
	plan := portsnare.Diff(rules, portsnare.Wanted{Mark: mark, Openings: openings, Protected: protected})
	done, err := l.Apply(l.t.Context(), plan)
	return plan, done, err
}

func (l *lab) reach(openings []portsnare.Opening) {
	l.t.Helper()
	for range 2 {
		_, _, err := l.step(openings)
		noError(l.t, err)
	}
	plan, _, err := l.step(openings)
	if err != nil || !plan.Empty() {
		l.t.Fatalf("not reached: %v\n%s", err, plan)
	}
}

// inbound returns the inbound rules as they stand, in the words of DigitalOcean.
func (l *lab) inbound() []string {
	var texts []string
	for _, r := range l.do.Firewall(l.id).Inbound {
		texts = append(texts, r.String())
	}
	return texts
}

func dual(t *testing.T, ranges ...string) []portsnare.Opening {
	t.Helper()
	return portsnare.OpeningsOf(parse(t, ranges...), portsnare.AnySource()...)
}

func v4(t *testing.T, ranges ...string) []portsnare.Opening {
	t.Helper()
	return portsnare.OpeningsOf(parse(t, ranges...), anyV4)
}

func parse(t *testing.T, ranges ...string) []portsnare.PortRange {
	t.Helper()
	var parsed []portsnare.PortRange
	for _, text := range ranges {
		r, err := portsnare.ParsePortRange(text)
		noError(t, err)
		parsed = append(parsed, r)
	}
	return parsed
}

// wantError checks kind, text and hint; an empty one is not checked.
func wantError(t *testing.T, err error, kind portsnare.Kind, text, hint string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", kind)
	}
	if got := portsnare.KindOf(err); got != kind {
		t.Errorf("kind = %q, want %q: %v", got, kind, err)
	}
	if got := err.Error(); text != "" && got != text {
		t.Errorf("error = %q\n want   %q", got, text)
	}
	if got := portsnare.HintOf(err); hint != "" && got != hint {
		t.Errorf("hint = %q\n want  %q", got, hint)
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill puts the ids of the lab's firewalls into a text.
func (l *lab) fill(text string) string {
	return strings.NewReplacer("{id}", l.id, "{other}", l.other).Replace(text)
}

// attach attaches the firewall to a Droplet by its id, as its owner would.
func (l *lab) attach(droplet int) error {
	return l.owner(http.MethodPost, "droplets", fmt.Sprintf(`{"droplet_ids":[%d]}`, droplet))
}

func (l *lab) untag() error { return l.owner(http.MethodDelete, "tags", `{"tags":["web"]}`) }

func (l *lab) owner(method, what, body string) error {
	r, err := http.NewRequestWithContext(l.t.Context(), method, l.url+"/v2/firewalls/"+l.id+"/"+what, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+dofake.DefaultToken)
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	if reply.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s %s: %s", method, what, reply.Status)
	}
	return reply.Body.Close()
}
