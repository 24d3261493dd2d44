package aws_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/aws"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

const mark = portsnare.Mark("tokyo/web")

var (
	anyV4, anyV6 = portsnare.AnySource()[0], portsnare.AnySource()[1]
	protected    = portsnare.PortSetOf(portsnare.Port{Protocol: portsnare.TCP, Number: 22})
)

// A lab is EC2 with one security group, in which somebody else opened 22/tcp to
// everyone, and a Firewall in front of it by the real SDK. At every change of
// the group the rules for 22/tcp must be what they were, down to their tags.
type lab struct {
	ec2 *ec2fake.Fake
	*aws.Firewall
	t       *testing.T
	url     string
	group   string
	foreign []ec2fake.Rule
}

func newLab(t *testing.T, o ec2fake.Options) *lab {
	t.Helper()
	f := ec2fake.New(o)
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	l := &lab{ec2: f, t: t, url: server.URL, group: f.CreateGroup("web")}
	for _, source := range portsnare.AnySource() {
		l.human(ec2fake.Rule{Protocol: "tcp", FromPort: 22, ToPort: 22, CIDR: source,
			Description: "ssh, ask ops", Tags: map[string]string{"owner": "ops", "Name": "ssh"}})
	}
	l.Firewall = l.firewall(ec2fake.DefaultRegion)
	f.OnChange(func(_ string, rules []ec2fake.Rule) error {
		l.wantForeign(rules)
		return nil
	})
	return l
}

// firewall returns the lab's group as a client of another region sees it. The
// client would retry as the SDK does by default.
func (l *lab) firewall(region string, options ...func(*ec2.Options)) *aws.Firewall {
	client := ec2.New(ec2.Options{
		Region:       region,
		BaseEndpoint: sdk.String(l.url),
		Credentials:  credentials.NewStaticCredentialsProvider(ec2fake.DefaultAccessKeyID, "secret", ""),
	}, options...)
	return aws.New(client, l.group, mark)
}

// human makes a rule that is to stay as it is.
func (l *lab) human(r ec2fake.Rule) ec2fake.Rule {
	l.t.Helper()
	id, err := l.ec2.AddRule(l.group, r)
	if err != nil {
		l.t.Fatal(err)
	}
	rules := l.ec2.Rules(l.group)
	made := rules[slices.IndexFunc(rules, func(r ec2fake.Rule) bool { return r.ID == id })]
	l.foreign = append(l.foreign, made)
	return made
}

// wantForeign checks that every rule made by a human is among rules, byte for
// byte.
func (l *lab) wantForeign(rules []ec2fake.Rule) {
	l.t.Helper()
	var got []ec2fake.Rule
	for _, r := range rules {
		if slices.ContainsFunc(l.foreign, func(f ec2fake.Rule) bool { return f.ID == r.ID }) {
			got = append(got, r)
		}
	}
	if !reflect.DeepEqual(l.foreign, got) {
		l.t.Errorf("foreign rules (-want +got):\n%s", cmp.Diff(l.foreign, got, cmpopts.EquateComparable(netip.Prefix{})))
	}
}

// ours returns the openings of the rules with our tag as they truly stand, and
// checks that each says to people what it is.
func (l *lab) ours() []portsnare.Opening {
	l.t.Helper()
	got := []portsnare.Opening{}
	for _, r := range l.ec2.Rules(l.group) {
		if r.Tags["portsnare"] != string(mark) {
			continue
		}
		if want := "portsnare: trap of group tokyo/web, do not edit"; r.Description != want {
			l.t.Errorf("%s is described as %q, want %q", r.ID, r.Description, want)
		}
		protocol, err := portsnare.ParseProtocol(r.Protocol)
		if err != nil {
			l.t.Fatal(err)
		}
		got = append(got, portsnare.Opening{
			Range:  portsnare.PortRange{Protocol: protocol, From: uint16(r.FromPort), To: uint16(r.ToPort)},
			Source: r.CIDR,
		})
	}
	return got
}

func (l *lab) wantOurs(want []portsnare.Opening) {
	l.t.Helper()
	order := func(a, b portsnare.Opening) int { return strings.Compare(a.String(), b.String()) }
	got := l.ours()
	slices.SortFunc(got, order)
	want = slices.SortedFunc(slices.Values(want), order)
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()); d != "" {
		l.t.Errorf("our openings (-want +got):\n%s", d)
	}
}

// step reads, plans and applies once, as a rotation does.
func (l *lab) step(openings []portsnare.Opening) (portsnare.Plan, portsnare.Done, error) {
	rules, err := l.Rules(context.Background())
	if err != nil {
		return portsnare.Plan{}, portsnare.Done{}, err
	}
	plan := portsnare.Diff(rules, portsnare.Wanted{Mark: mark, Openings: openings, Protected: protected})
	if plan.Empty() {
		return plan, portsnare.Done{}, nil
	}
	done, err := l.Apply(context.Background(), plan)
	return plan, done, err
}

// reach repeats step, as a rotation does, until there is nothing to do.
func (l *lab) reach(openings []portsnare.Opening) {
	l.t.Helper()
	for range 20 {
		plan, _, err := l.step(openings)
		switch {
		case err == nil && plan.Empty():
			return
		case err != nil && !portsnare.Retryable(err) && !errors.Is(err, portsnare.Conflict):
			l.t.Fatal(err)
		}
	}
	l.t.Fatalf("not reached in 20 steps: %v", openings)
}

// writes returns the actions of the writing calls from the nth call on.
func (l *lab) writes(n int) []string {
	var actions []string
	for _, call := range l.ec2.Calls()[n:] {
		switch call.Action {
		case "DescribeSecurityGroups", "DescribeSecurityGroupRules":
		default:
			actions = append(actions, call.Action)
		}
	}
	return actions
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
		if err != nil {
			t.Fatal(err)
		}
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
