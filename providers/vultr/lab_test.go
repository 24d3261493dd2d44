package vultr_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/judge"
	"github.com/portsnare/portsnare/providers/fakes/vultrfake"
	"github.com/portsnare/portsnare/providers/vultr"
)

const (
	mark  = portsnare.Mark("tokyo/web")
	notes = "portsnare:tokyo/web"
	specs = "vultr-firewalls.openapi.yaml"
)

var (
	anyV4, anyV6 = portsnare.AnySource()[0], portsnare.AnySource()[1]
	protected    = portsnare.PortSetOf(portsnare.Port{Protocol: portsnare.TCP, Number: 22})
)

// A lab is Vultr with one firewall group, in which somebody else opened 22/tcp
// to everyone, and a Firewall in front of it by the real SDK. All that goes
// between them is judged by Vultr's OpenAPI file. At every change of the group
// the rules for 22/tcp must be what they were, down to their notes.
type lab struct {
	vultr *vultrfake.Fake
	*vultr.Firewall
	t       *testing.T
	url     string
	group   string
	foreign []vultrfake.Rule
}

// unlimited is for tests that are not about the pace.
func unlimited() vultrfake.Options { return vultrfake.Options{Rate: -1} }

func newLab(t *testing.T, o vultrfake.Options) *lab {
	t.Helper()
	f := vultrfake.New(o)
	server := httptest.NewServer(judge.Wrap(t, specs, f))
	t.Cleanup(server.Close)
	l := &lab{vultr: f, t: t, url: server.URL, group: f.CreateGroup("web")}
	for _, source := range portsnare.AnySource() {
		l.human(vultrfake.Rule{Protocol: "tcp", Port: "22", Subnet: source, Notes: "ssh, ask ops"})
	}
	l.Firewall = l.firewall(vultr.Options{})
	f.OnChange(func(_ string, rules []vultrfake.Rule) error {
		l.wantForeign(rules)
		return nil
	})
	return l
}

// firewall returns the lab's group with what o leaves out filled in.
func (l *lab) firewall(o vultr.Options) *vultr.Firewall {
	l.t.Helper()
	if o.GroupID == "" {
		o.GroupID = l.group
	}
	if o.Mark == "" {
		o.Mark = mark
	}
	if o.APIKey == "" {
		o.APIKey = vultrfake.DefaultAPIKey
	}
	if o.Endpoint == "" {
		o.Endpoint = l.url
	}
	if o.Pace == nil {
		o.Pace = rate.NewLimiter(rate.Inf, 1)
	}
	if o.Transport == nil {
		transport := &http.Transport{}
		l.t.Cleanup(transport.CloseIdleConnections)
		o.Transport = once{transport}
	}
	f, err := vultr.New(o)
	noError(l.t, err)
	return f
}

// once gives every request a body, if an empty one: net/http itself sends again
// what has none, when a connection that was used before breaks.
type once struct{ next http.RoundTripper }

func (o once) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		r = r.Clone(r.Context())
		r.Body, r.GetBody = io.NopCloser(strings.NewReader("")), nil
	}
	return o.next.RoundTrip(r)
}

// human makes a rule that is to stay as it is.
func (l *lab) human(r vultrfake.Rule) vultrfake.Rule {
	l.t.Helper()
	made, err := l.vultr.AddRule(l.group, r)
	noError(l.t, err)
	l.foreign = append(l.foreign, made)
	return made
}

// wantForeign checks that every rule made by a human is among rules, byte for
// byte.
func (l *lab) wantForeign(rules []vultrfake.Rule) {
	l.t.Helper()
	for _, want := range l.foreign {
		if !slices.Contains(rules, want) {
			l.t.Errorf("foreign rule %+v is not among %+v", want, rules)
		}
	}
}

// ours returns the openings of the rules with our notes as they truly stand.
func (l *lab) ours() []portsnare.Opening {
	l.t.Helper()
	var got []portsnare.Opening
	for _, r := range l.vultr.Rules(l.group) {
		if r.Notes == notes && !slices.Contains(l.foreign, r) {
			got = append(got, openingOf(l.t, r))
		}
	}
	return got
}

func openingOf(t *testing.T, r vultrfake.Rule) portsnare.Opening {
	t.Helper()
	o := portsnare.Opening{Range: parse(t, strings.Replace(r.Port, ":", "-", 1)+"/"+r.Protocol)[0]}
	if r.Source == "" {
		o.Source = r.Subnet.Masked()
	}
	return o
}

func (l *lab) wantOurs(want []portsnare.Opening) {
	l.t.Helper()
	if d := cmp.Diff(want, l.ours(), byText, cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()); d != "" {
		l.t.Errorf("our openings (-want +got):\n%s", d)
	}
}

var byText = cmpopts.SortSlices(func(a, b portsnare.Opening) bool { return a.String() < b.String() })

// plan reads and plans, as a rotation does.
func (l *lab) plan(openings []portsnare.Opening) portsnare.Plan {
	l.t.Helper()
	rules, err := l.Rules(context.Background())
	noError(l.t, err)
	return portsnare.Diff(rules, portsnare.Wanted{Mark: mark, Openings: openings, Protected: protected})
}

// reach reads, plans and applies, as a rotation does, until there is nothing to
// do.
func (l *lab) reach(openings []portsnare.Opening) {
	l.t.Helper()
	for range 20 {
		plan := l.plan(openings)
		if plan.Empty() {
			return
		}
		_, err := l.Apply(context.Background(), plan)
		if err != nil && !portsnare.Retryable(err) && !errors.Is(err, portsnare.Conflict) {
			l.t.Fatal(err)
		}
	}
	l.t.Fatalf("not reached in 20 steps: %v", openings)
}

// calls returns the actions of the calls from the nth on, in short.
func (l *lab) calls(n int) string {
	short := map[string]string{
		vultrfake.GetGroup: "group", vultrfake.ListRules: "list", vultrfake.GetRule: "look",
		vultrfake.CreateRule: "OPEN", vultrfake.DeleteRule: "CLOSE",
	}
	var actions []string
	for _, call := range l.vultr.Calls()[n:] {
		actions = append(actions, short[call.Action])
	}
	return strings.Join(actions, " ")
}

// writes returns how many calls that write were made from the nth call on.
func (l *lab) writes(n int) int {
	actions := l.calls(n)
	return strings.Count(actions, "OPEN") + strings.Count(actions, "CLOSE")
}

// dual returns openings of ranges such as "8000-8009/tcp" to everyone.
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

// wantDone checks what Done tells, in any order.
func wantDone(t *testing.T, got, want portsnare.Done) {
	t.Helper()
	options := cmp.Options{
		cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty(), byText,
		cmpopts.SortSlices(func(a, b portsnare.Rule) bool { return a.ID < b.ID }),
	}
	if d := cmp.Diff(want, got, options); d != "" {
		t.Errorf("done (-want +got):\n%s", d)
	}
}

// wantError checks kind, text and hint.
func wantError(t *testing.T, err error, kind portsnare.Kind, text, hint string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", kind)
	}
	if got := portsnare.KindOf(err); got != kind {
		t.Errorf("kind = %q, want %q: %v", got, kind, err)
	}
	if got := err.Error(); got != text {
		t.Errorf("error = %q\n want   %q", got, text)
	}
	if got := portsnare.HintOf(err); got != hint {
		t.Errorf("hint = %q\n want  %q", got, hint)
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
