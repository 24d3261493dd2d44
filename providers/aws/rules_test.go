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

// A stranger is a rule that others may have in the group, and how it is to be
// told: ports and source.
type stranger struct {
	rule ec2fake.Rule
	want []string
}

func strangers(otherGroup string) []stranger {
	cidr := netip.MustParsePrefix
	return []stranger{
		{ec2fake.Rule{Protocol: "tcp", FromPort: 8000, ToPort: 8009, CIDR: cidr("0.0.0.0/0")}, []string{"8000-8009/tcp from 0.0.0.0/0"}},
		{ec2fake.Rule{Protocol: "tcp", FromPort: 8005, ToPort: 8100, CIDR: cidr("::/0")}, []string{"8005-8100/tcp from ::/0"}},
		{ec2fake.Rule{Protocol: "udp", FromPort: 53, ToPort: 53, CIDR: cidr("2001:db8::/32")}, []string{"53/udp from 2001:db8::/32"}},
		{ec2fake.Rule{Protocol: "17", FromPort: 54, ToPort: 54, CIDR: cidr("192.0.2.7/24")}, []string{"54/udp from 192.0.2.0/24"}},
		{ec2fake.Rule{Protocol: "tcp", FromPort: 0, ToPort: 65535, CIDR: cidr("192.0.2.1/32")}, []string{"1-65535/tcp from 192.0.2.1/32"}},
		{ec2fake.Rule{Protocol: "tcp", FromPort: 0, ToPort: 0, CIDR: cidr("192.0.2.1/32")}, []string{"0/protocol-0 from 192.0.2.1/32"}},
		{ec2fake.Rule{Protocol: "tcp", FromPort: 443, ToPort: 443, PrefixListID: "pl-0123456789abcdef0"}, []string{"443/tcp from a named source"}},
		{ec2fake.Rule{Protocol: "tcp", FromPort: 5432, ToPort: 5432, ReferencedGroupID: otherGroup}, []string{"5432/tcp from a named source"}},
		{ec2fake.Rule{Protocol: "-1", FromPort: -1, ToPort: -1, CIDR: cidr("198.51.100.0/24")},
			[]string{"1-65535/tcp from 198.51.100.0/24", "1-65535/udp from 198.51.100.0/24"}},
		{ec2fake.Rule{Protocol: "icmp", FromPort: 8, ToPort: -1, CIDR: cidr("0.0.0.0/0")}, []string{"0/protocol-0 from 0.0.0.0/0"}},
		{ec2fake.Rule{Protocol: "icmpv6", FromPort: -1, ToPort: -1, CIDR: cidr("::/0")}, []string{"0/protocol-0 from ::/0"}},
		{ec2fake.Rule{Protocol: "47", FromPort: -1, ToPort: -1, CIDR: cidr("203.0.113.0/24")}, []string{"0/protocol-0 from 203.0.113.0/24"}},
		{ec2fake.Rule{Protocol: "tcp", FromPort: 9, ToPort: 9, CIDR: cidr("0.0.0.0/0"), Tags: map[string]string{"portsnare": "db", "Name": "web"}},
			[]string{"9/tcp from 0.0.0.0/0 of db"}},
		{ec2fake.Rule{Protocol: "tcp", FromPort: 7, ToPort: 7, CIDR: cidr("0.0.0.0/0"), Description: "portsnare: trap of group web, do not edit"},
			[]string{"7/tcp from 0.0.0.0/0"}},
		{ec2fake.Rule{Protocol: "tcp", FromPort: 10, ToPort: 10, CIDR: cidr("0.0.0.0/0"), Tags: map[string]string{"Portsnare": "web"}},
			[]string{"10/tcp from 0.0.0.0/0"}},
	}
}

func TestRulesTellsEverySort(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	want := []string{l.foreign[0].ID + " 22/tcp from 0.0.0.0/0", l.foreign[1].ID + " 22/tcp from ::/0"}
	for _, s := range strangers(l.ec2.CreateGroup("balancer")) {
		made := l.human(s.rule)
		for _, text := range s.want {
			want = append(want, made.ID+" "+text)
		}
	}
	rules, err := l.Rules(context.Background())
	noError(t, err)
	var got []string
	for _, r := range rules {
		text := fmt.Sprintf("%s %s", r.ID, r.Opening)
		if r.Mark != "" {
			text += " of " + string(r.Mark)
		}
		got = append(got, text)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Rules (-want +got):\n%s", d)
	}
}

// A rule for all protocols opens every port and is one rule; one for ICMP opens
// none and is one rule.
func TestRulesCountAsEC2Counts(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	l.human(ec2fake.Rule{Protocol: "icmp", FromPort: 8, ToPort: -1, CIDR: anyV4})
	l.human(ec2fake.Rule{Protocol: "tcp", FromPort: 443, ToPort: 443, PrefixListID: "pl-0123456789abcdef0"})
	check := func(open string, budgetV4, budgetV6 int) {
		t.Helper()
		rules, err := l.Rules(context.Background())
		noError(t, err)
		limits, err := l.Limits(context.Background())
		noError(t, err)
		if got := portsnare.OpenPorts(rules).String(); got != open {
			t.Errorf("open ports %s, want %s", got, open)
		}
		got := []int{limits.Budget(rules, anyV4), limits.Budget(rules, anyV6)}
		if d := cmp.Diff([]int{budgetV4, budgetV6}, got); d != "" {
			t.Errorf("budgets (-want +got):\n%s", d)
		}
	}
	check("22/tcp,443/tcp", 60-3, 60-2)
	l.human(ec2fake.Rule{Protocol: "-1", FromPort: -1, ToPort: -1, CIDR: anyV6})
	check("1-65535/tcp,1-65535/udp", 60-3, 60-3)
}

func TestRulesComesInPages(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	want := dual(t, "100/tcp", "200/tcp", "300/tcp", "400/tcp", "500/tcp", "600/udp")
	l.reach(want)
	l.SetPage(5)
	before := len(l.ec2.Calls())
	rules, err := l.Rules(context.Background())
	noError(t, err)
	if got := len(l.ec2.Calls()) - before; got != 3 { // 15 rules with the one outbound
		t.Errorf("%d calls, want 3", got)
	}
	var got []portsnare.Opening
	ours, _ := portsnare.Ours(rules, mark)
	for _, r := range ours {
		got = append(got, r.Opening)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
		t.Errorf("ours (-want +got):\n%s", d)
	}
}

// A group that is gone must never look like one in which all is closed.
func TestRulesOfAbsentGroup(t *testing.T) {
	l := newLab(t, ec2fake.Options{EmptyRegions: []string{"eu-west-1"}})
	_, err := l.firewall("eu-west-1").Rules(context.Background())
	wantError(t, err, portsnare.NotFound,
		"aws: find "+l.group+": The security group '"+l.group+"' does not exist (InvalidGroup.NotFound)",
		"is the security group in eu-west-1? If not, set the provider's `region`")

	_, err = l.Rules(context.Background())
	noError(t, err)
	l.ec2.DeleteGroup(l.group)
	_, err = l.Rules(context.Background())
	wantError(t, err, portsnare.NotFound, "", "")
	_, err = l.Apply(context.Background(), portsnare.Plan{Open: v4(t, "5/tcp")})
	wantError(t, err, portsnare.NotFound,
		"aws: open ports in "+l.group+": The security group '"+l.group+"' does not exist (InvalidGroup.NotFound)", "")
}

func TestRulesOfEmptyGroup(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	l.foreign = nil
	for _, r := range l.ec2.Rules(l.group) {
		noError(t, l.ec2.RemoveRule(l.group, r.ID))
	}
	rules, err := l.Rules(context.Background())
	if err != nil || len(rules) != 0 {
		t.Errorf("Rules = %v, %v; want none", rules, err)
	}
}
