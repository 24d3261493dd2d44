package ec2fake_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

func TestConsole(t *testing.T) {
	f := ec2fake.New(ec2fake.Options{})
	group := f.CreateGroup("web")
	rule := ec2fake.Rule{
		Protocol: "TCP", FromPort: 80, ToPort: 80, CIDR: netip.MustParsePrefix("192.0.2.1/24"),
		Tags: map[string]string{"by": "hand"},
	}
	id, err := f.AddRule(group, rule)
	noError(t, err)
	rule.Tags["by"] = "changed afterwards"
	want := []ec2fake.Rule{{
		ID: id, GroupID: group, Protocol: "tcp", FromPort: 80, ToPort: 80,
		CIDR: netip.MustParsePrefix("192.0.2.0/24"), Tags: map[string]string{"by": "hand"},
	}}
	check := func() {
		t.Helper()
		if d := cmp.Diff(want, f.Rules(group), cmpopts.EquateComparable(netip.Prefix{})); d != "" {
			t.Errorf("Rules (-want +got):\n%s", d)
		}
	}
	check()
	f.Rules(group)[0].Tags["by"] = "not the fake's map"
	check()

	edited := want[0]
	edited.FromPort, edited.Description, edited.Tags = 79, "wider", nil
	noError(t, f.EditRule(group, edited))
	want[0].FromPort, want[0].Description = 79, "wider"
	check()
	edited.Tags = map[string]string{}
	noError(t, f.EditRule(group, edited))
	want[0].Tags = map[string]string{}
	check()

	noError(t, f.RemoveRule(group, id))
	if rules := f.Rules(group); len(rules) != 0 {
		t.Errorf("Rules = %v, want none", rules)
	}
	if calls := f.Calls(); len(calls) != 0 {
		t.Errorf("Calls = %v, want none", calls)
	}
}

func TestConsoleRefuses(t *testing.T) {
	f := ec2fake.New(ec2fake.Options{RuleLimit: 2})
	group := f.CreateGroup("web")
	for _, port := range []int{80, 81} {
		_, err := f.AddRule(group, consoleRule(port))
		noError(t, err)
	}
	first := f.Rules(group)[0].ID
	add := func(r ec2fake.Rule) error { _, err := f.AddRule(group, r); return err }
	edit := func(id string, r ec2fake.Rule) error { r.ID = id; return f.EditRule(group, r) }
	badTag := consoleRule(82)
	badTag.Tags = map[string]string{"aws:x": ""}
	twoSources := consoleRule(82)
	twoSources.PrefixListID = "pl-0123456789abcdef0"

	tests := []struct {
		name string
		err  error
		code string
	}{
		{"the limit", add(consoleRule(82)), "RulesPerSecurityGroupLimitExceeded"},
		{"a duplicate", add(consoleRule(80)), "InvalidPermission.Duplicate"},
		{"a tag", add(badTag), "InvalidParameterValue"},
		{"two sources", add(twoSources), "InvalidParameterCombination"},
		{"edit onto another", edit(first, consoleRule(81)), "InvalidPermission.Duplicate"},
		{"edit tags", edit(first, badTag), "InvalidParameterValue"},
		{"edit the absent", edit("sgr-0", consoleRule(90)), "InvalidSecurityGroupRuleId.NotFound"},
		{"remove the absent", f.RemoveRule(group, "sgr-0"), "InvalidSecurityGroupRuleId.NotFound"},
		{"an absent group", f.RemoveRule("sg-0", first), "InvalidGroup.NotFound"},
	}
	for _, tt := range tests {
		var e *ec2fake.Error
		if !errors.As(tt.err, &e) || e.Code != tt.code {
			t.Errorf("%s: error = %v, want %s", tt.name, tt.err, tt.code)
		}
	}
	if got := len(f.Rules(group)); got != 2 {
		t.Errorf("%d rules, want 2", got)
	}
}

func TestADeletedGroupIsNotFound(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	l.add(consoleRule(80))
	l.DeleteGroup(l.group)
	_, err := l.authorize(tcp(81, everyone))
	wantError(t, err, 400, "InvalidGroup.NotFound")
	l.wantPorts()
}
