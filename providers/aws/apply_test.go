package aws_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

const (
	authorize = "AuthorizeSecurityGroupIngress"
	modify    = "ModifySecurityGroupRules"
	revoke    = "RevokeSecurityGroupIngress"
)

func TestApplyFewestWrites(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	for _, tt := range []struct {
		name   string
		want   []portsnare.Opening
		writes []string
	}{
		{"first", dual(t, "8000-8009/tcp", "9000/tcp"), []string{authorize}},
		{"as many, all others", dual(t, "5000/tcp", "6000-6999/udp"), []string{modify}},
		{"as many, one stays", dual(t, "5000/tcp", "7000/tcp"), []string{modify}},
		{"more", dual(t, "1/tcp", "2/tcp", "3/tcp"), []string{modify, authorize}},
		{"fewer", dual(t, "4/tcp"), []string{modify, revoke}},
		{"one family more, one fewer", v4(t, "5/tcp", "6/tcp"), []string{modify, authorize, revoke}},
		{"only opened", dual(t, "5/tcp", "6/tcp"), []string{authorize}},
		{"only closed", dual(t, "6/tcp"), []string{revoke}},
		{"none", nil, []string{revoke}},
	} {
		before := len(l.ec2.Calls())
		plan, done, err := l.step(tt.want)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if d := cmp.Diff(tt.writes, l.writes(before)); d != "" {
			t.Errorf("%s: writes (-want +got):\n%s", tt.name, d)
		}
		wantDone(t, done, plan, len(tt.writes))
		l.wantOurs(tt.want)

		before = len(l.ec2.Calls())
		if again, _, err := l.step(tt.want); err != nil || !again.Empty() {
			t.Errorf("%s, again: %v, plan\n%s", tt.name, err, again)
		}
		if got := l.writes(before); len(got) != 0 {
			t.Errorf("%s, again: writes %v", tt.name, got)
		}
	}
}

// wantDone checks that all of a plan was done.
func wantDone(t *testing.T, done portsnare.Done, plan portsnare.Plan, writes int) {
	t.Helper()
	sorted := cmp.Options{
		cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty(),
		cmpopts.SortSlices(func(a, b portsnare.Opening) bool { return a.String() < b.String() }),
		cmpopts.SortSlices(func(a, b portsnare.Rule) bool { return a.ID < b.ID }),
	}
	want := portsnare.Done{Opened: plan.Open, Closed: plan.Close, Writes: writes}
	if d := cmp.Diff(want, done, sorted); d != "" {
		t.Errorf("done (-want +got):\n%s", d)
	}
}

func TestApplyNothing(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	done, err := l.Apply(context.Background(), portsnare.Plan{})
	if err != nil || done.Writes != 0 || len(l.ec2.Calls()) != 0 {
		t.Errorf("done %v, error %v, calls %v; want none", done, err, l.ec2.Calls())
	}
}

// EC2 refuses a call that names a rule twice.
func TestApplyTakesDoublesOnce(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	o := v4(t, "5/tcp")[0]
	done, err := l.Apply(context.Background(), portsnare.Plan{Open: []portsnare.Opening{o, o}})
	noError(t, err)
	wantDone(t, done, portsnare.Plan{Open: []portsnare.Opening{o}}, 1)
	rules, err := l.Rules(context.Background())
	noError(t, err)
	ours, _ := portsnare.Ours(rules, mark)
	done, err = l.Apply(context.Background(), portsnare.Plan{Close: append(ours, ours...)})
	noError(t, err)
	wantDone(t, done, portsnare.Plan{Close: ours}, 1)
	l.wantOurs(nil)
}

func TestApplyRefuses(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	other := l.human(ec2fake.Rule{Protocol: "tcp", FromPort: 9, ToPort: 9, CIDR: anyV4, Tags: map[string]string{"portsnare": "db"}})
	l.reach(v4(t, "5/tcp"))
	rules, err := l.Rules(context.Background())
	noError(t, err)
	byID := map[string]portsnare.Rule{}
	for _, r := range rules {
		byID[r.ID] = r
	}
	ours, _ := portsnare.Ours(rules, mark)
	ssh := byID[l.foreign[0].ID]
	tests := []struct {
		name string
		plan portsnare.Plan
		text string
	}{
		{"a protected rule", portsnare.Plan{Close: []portsnare.Rule{ours[0], ssh}},
			`aws: carry out a plan for %s: a rule to be closed bears the mark "", ours is "tokyo/web"`},
		{"a rule of another group's", portsnare.Plan{Close: []portsnare.Rule{byID[other.ID]}},
			`aws: carry out a plan for %s: a rule to be closed bears the mark "db", ours is "tokyo/web"`},
		{"a rule to be held", portsnare.Plan{Close: ours, Held: ours},
			"aws: carry out a plan for %s: a rule to be closed is to be held too"},
		{"an opening to nobody", portsnare.Plan{Open: []portsnare.Opening{{Range: parse(t, "6/tcp")[0]}}, Close: ours},
			"aws: carry out a plan for %s: what is to be opened is no port range with a source"},
		{"an opening of no port", portsnare.Plan{Open: []portsnare.Opening{{Range: portsnare.PortRange{Protocol: portsnare.TCP}, Source: anyV4}}},
			"aws: carry out a plan for %s: what is to be opened is no port range with a source"},
	}
	before := len(l.ec2.Calls())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			done, err := l.Apply(context.Background(), tt.plan)
			wantError(t, err, portsnare.Invalid, fmt.Sprintf(tt.text, l.group), "")
			wantDone(t, done, portsnare.Plan{}, 0)
		})
	}
	if n := len(l.ec2.Calls()) - before; n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

func TestApplyAmongForeignRules(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	for _, s := range strangers(l.ec2.CreateGroup("balancer")) {
		l.human(s.rule)
	}
	served := v4(t, "8000-8009/tcp") // stands there already, and not of ours
	l.reach(append(dual(t, "8001/tcp", "7777/tcp"), served...))
	l.wantOurs(dual(t, "8001/tcp", "7777/tcp"))
	l.reach(append(dual(t, "8002/tcp", "7778/tcp"), served...))
	l.wantOurs(dual(t, "8002/tcp", "7778/tcp"))
	l.reach(nil)
	l.wantOurs(nil)
	l.wantForeign(l.ec2.Rules(l.group))
	if got, want := len(l.ec2.Rules(l.group)), len(l.foreign); got != want {
		t.Errorf("%d rules are left, want the %d foreign ones", got, want)
	}
}

func TestApplyMendsDrift(t *testing.T) {
	everything := ec2fake.Rule{Protocol: "-1", FromPort: -1, ToPort: -1, CIDR: anyV4}
	tests := []struct {
		name  string
		drift func(l *lab, ours ec2fake.Rule)
		ours  []portsnare.Opening
	}{
		{"a rule removed", func(l *lab, ours ec2fake.Rule) {
			noError(l.t, l.ec2.RemoveRule(l.group, ours.ID))
		}, dual(t, "5/tcp", "6/tcp")},
		{"a rule made wider", func(l *lab, ours ec2fake.Rule) {
			ours.ToPort = 99
			noError(l.t, l.ec2.EditRule(l.group, ours))
		}, dual(t, "5/tcp", "6/tcp")},
		{"a rule made to admit all", func(l *lab, ours ec2fake.Rule) {
			everything.ID = ours.ID
			noError(l.t, l.ec2.EditRule(l.group, everything))
		}, dual(t, "5/tcp", "6/tcp")},
		{"a rule of ours added", func(l *lab, ours ec2fake.Rule) {
			ours.FromPort, ours.ToPort = 7, 7
			_, err := l.ec2.AddRule(l.group, ours)
			noError(l.t, err)
		}, dual(t, "5/tcp", "6/tcp")},
		{"a rule of ours for a group added", func(l *lab, ours ec2fake.Rule) {
			ours.CIDR, ours.ReferencedGroupID = netip.Prefix{}, l.group
			_, err := l.ec2.AddRule(l.group, ours)
			noError(l.t, err)
		}, dual(t, "5/tcp", "6/tcp")},
		{"a rule replaced by a foreign one", func(l *lab, ours ec2fake.Rule) {
			noError(l.t, l.ec2.RemoveRule(l.group, ours.ID))
			ours.Tags = nil
			l.human(ours)
		}, append(dual(t, "6/tcp"), portsnare.OpeningsOf(parse(t, "5/tcp"), anyV6)...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, ec2fake.Options{})
			l.reach(dual(t, "5/tcp", "6/tcp"))
			tt.drift(l, l.ec2.Rules(l.group)[2])
			l.reach(dual(t, "5/tcp", "6/tcp"))
			l.wantOurs(tt.ours)
		})
	}
}

// A rule of ours that a human made the only one for a protected port is held
// whole, although it is told as two.
func TestApplyHoldsWhatAdmitsAlone(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	l.reach(v4(t, "5/tcp"))
	edited := l.ec2.Rules(l.group)[2]
	edited.Protocol, edited.FromPort, edited.ToPort = "-1", -1, -1
	noError(t, l.ec2.EditRule(l.group, edited))
	ssh := l.foreign
	l.foreign = nil
	for _, r := range ssh {
		noError(t, l.ec2.RemoveRule(l.group, r.ID))
	}
	l.reach(v4(t, "6/tcp"))
	var got []string
	for _, r := range l.ec2.Rules(l.group) {
		got = append(got, fmt.Sprint(r.Protocol, " ", r.FromPort, "-", r.ToPort))
	}
	if d := cmp.Diff([]string{"-1 -1--1", "tcp 6-6"}, got); d != "" {
		t.Errorf("rules (-want +got):\n%s", d)
	}
}

// many returns n openings of one port to everyone.
func many(n, first int) []portsnare.Opening {
	var ranges []portsnare.PortRange
	for i := range n {
		ranges = append(ranges, portsnare.Port{Protocol: portsnare.TCP, Number: uint16(first + 2*i)}.Range())
	}
	return portsnare.OpeningsOf(ranges, portsnare.AnySource()...)
}

func TestApplyAtTheLimit(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	full := many(59, 1000) // with 22/tcp 60 in each family
	l.reach(full)
	before := len(l.ec2.Calls())
	l.reach(many(59, 2000))
	l.wantOurs(many(59, 2000))
	if got := l.writes(before); len(got) != 1 {
		t.Errorf("writes %v, want one", got)
	}

	plan, done, err := l.step(many(60, 3000))
	wantError(t, err, portsnare.LimitExceeded,
		"aws: open ports in "+l.group+": The maximum number of rules per security group has been reached (RulesPerSecurityGroupLimitExceeded)",
		"ask AWS to raise the quota L-0EA8095F (rules of a security group), or open fewer traps; a prefix list counts with all the entries it may have")
	wantDone(t, done, portsnare.Plan{Open: many(59, 3000), Close: plan.Close}, 1) // what came before the error
	l.wantOurs(many(59, 3000))
}

func TestLimits(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	got, err := l.Limits(context.Background())
	noError(t, err)
	if want := (portsnare.Limits{Rules: 60, PerFamily: true, InPlace: true}); got != want {
		t.Errorf("limits %+v, want %+v", got, want)
	}
}
