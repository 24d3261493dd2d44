package openstack_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/quotas"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/openstack"
)

const (
	mark   = portsnare.Mark("tokyo/web")
	marked = "portsnare: trap of group tokyo/web, do not edit"
)

// A lab is a project of its own in a real Neutron with one security group, and
// a Firewall in front of it, on a line that can be disturbed.
type lab struct {
	*openstack.Firewall
	t       *testing.T
	line    *line
	url     string // of the line
	project string
	group   string
	human   *human
}

// newLab demands a Neutron, as .ci/neutron starts it.
func newLab(t *testing.T) *lab {
	t.Helper()
	neutron := os.Getenv("PORTSNARE_NEUTRON_URL")
	if neutron == "" {
		t.Skip("PORTSNARE_NEUTRON_URL names no Neutron: run this by .ci/neutron go test ./providers/openstack")
	}
	l := &lab{t: t, project: "project-" + strings.ToLower(rand.Text())}
	console := direct(neutron, l.project, member)
	group, err := groups.Create(context.Background(), console, groups.CreateOpts{Name: "web"}).Extract()
	noError(t, err)
	l.group = group.ID
	l.line = &line{neutron: neutron, identity: identity(l.project, member), group: "/v2.0/security-groups/" + group.ID}
	l.human = &human{client: console, group: group.ID, changes: func() int { return len(writes(l.line.made(0))) }}
	server := httptest.NewServer(l.line)
	t.Cleanup(server.Close)
	l.url = server.URL
	l.Firewall = openstack.New(client(server.URL, nil), l.group, mark)
	return l
}

// A member is a reader too, as Keystone has it.
const member = "member,reader"

// identity is what Neutron's middleware makes of a token.
func identity(project, role string) http.Header {
	return http.Header{"X-Project-Id": {project}, "X-User-Id": {"somebody"}, "X-Roles": {role}}
}

// direct returns a client of Neutron itself.
func direct(neutron, project, role string) *gophercloud.ServiceClient {
	return client(neutron, identity(project, role))
}

// client returns one that makes a connection for each call: Go sends a GET
// again by itself where one that was used before fails.
func client(url string, more http.Header) *gophercloud.ServiceClient {
	provider := &gophercloud.ProviderClient{}
	provider.HTTPClient.Transport = &http.Transport{DisableKeepAlives: true}
	c := &gophercloud.ServiceClient{ProviderClient: provider, Endpoint: url + "/", ResourceBase: url + "/v2.0/", MoreHeaders: map[string]string{}}
	for name, values := range more {
		c.MoreHeaders[name] = values[0]
	}
	return c
}

// setQuota lets the project have n rules; -1 is no limit.
func (l *lab) setQuota(n int) {
	l.t.Helper()
	admin := direct(l.line.neutron, l.project, "admin")
	noError(l.t, quotas.Update(context.Background(), admin, l.project, quotas.UpdateOpts{SecurityGroupRule: &n}).Err)
}

// setRoom lets the group have n inbound rules beside what the project has.
func (l *lab) setRoom(n int) {
	l.t.Helper()
	used, err := quotas.GetDetail(context.Background(), l.human.client, l.project).Extract()
	noError(l.t, err)
	l.setQuota(used.SecurityGroupRule.Used + n)
}

// step reads, plans and applies once, as a rotation does.
func (l *lab) step(openings []portsnare.Opening) (portsnare.Plan, portsnare.Done, error) {
	rules, err := l.Rules(context.Background())
	if err != nil {
		return portsnare.Plan{}, portsnare.Done{}, err
	}
	plan := portsnare.Diff(rules, portsnare.Wanted{Mark: mark, Openings: openings})
	if plan.Empty() {
		return plan, portsnare.Done{}, nil
	}
	done, err := l.Apply(context.Background(), plan)
	return plan, done, err
}

// reach takes one step, after which nothing must be left to do.
func (l *lab) reach(openings []portsnare.Opening) {
	l.t.Helper()
	_, _, err := l.step(openings)
	noError(l.t, err)
	if plan, _, err := l.step(openings); err != nil || !plan.Empty() {
		l.t.Fatalf("again: %v, plan\n%s", err, plan)
	}
}

// add lets a human make a rule of any sort.
func (l *lab) add(o rules.CreateOpts) string {
	l.t.Helper()
	id, err := l.human.create(o)
	noError(l.t, err)
	return id
}

// dual returns openings of ranges such as "8000-8009/tcp" to everyone.
func dual(t *testing.T, ranges ...string) []portsnare.Opening {
	t.Helper()
	return portsnare.OpeningsOf(parse(t, ranges...), portsnare.AnySource()...)
}

func v4(t *testing.T, ranges ...string) []portsnare.Opening {
	t.Helper()
	return portsnare.OpeningsOf(parse(t, ranges...), portsnare.AnySource()[0])
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
