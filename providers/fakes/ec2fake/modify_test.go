package ec2fake_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

// move is a wish to make rule id admit one TCP port from everyone.
func move(id string, port int32, edits ...func(*types.SecurityGroupRuleRequest)) types.SecurityGroupRuleUpdate {
	r := &types.SecurityGroupRuleRequest{
		IpProtocol: aws.String("tcp"), FromPort: &port, ToPort: &port,
		CidrIpv4: aws.String(everyone), Description: aws.String("moved"),
	}
	for _, edit := range edits {
		edit(r)
	}
	return types.SecurityGroupRuleUpdate{SecurityGroupRuleId: &id, SecurityGroupRule: r}
}

func TestModifyMovesSeveralRules(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	first := consoleRule(1001)
	first.Tags = map[string]string{"portsnare": "web"}
	a := l.add(first)
	l.add(consoleRule(22))
	b := l.add(ec2fake.Rule{Protocol: "tcp", FromPort: 1002, ToPort: 1002, CIDR: netip.MustParsePrefix("::/0")})
	c := l.add(ec2fake.Rule{Protocol: "udp", FromPort: 9, ToPort: 9, PrefixListID: "pl-0123456789abcdef0"})

	err := l.modify(
		move(a, 2001, func(r *types.SecurityGroupRuleRequest) { r.CidrIpv4 = aws.String("198.51.100.1/24") }),
		move(b, 2002, func(r *types.SecurityGroupRuleRequest) { r.CidrIpv4, r.CidrIpv6 = nil, aws.String("::/0") }),
		move(c, 2003, func(r *types.SecurityGroupRuleRequest) {
			r.CidrIpv4, r.PrefixListId, r.Description = nil, aws.String("pl-0123456789abcdef1"), nil
		}),
	)
	noError(t, err)
	want := []ec2fake.Rule{
		{ID: a, GroupID: l.group, Protocol: "tcp", FromPort: 2001, ToPort: 2001, CIDR: netip.MustParsePrefix("198.51.100.0/24"),
			Description: "moved", Tags: map[string]string{"portsnare": "web"}},
		{ID: "sgr-00000000000000003", GroupID: l.group, Protocol: "tcp", FromPort: 22, ToPort: 22, CIDR: netip.MustParsePrefix(everyone)},
		{ID: b, GroupID: l.group, Protocol: "tcp", FromPort: 2002, ToPort: 2002, CIDR: netip.MustParsePrefix("::/0"), Description: "moved"},
		{ID: c, GroupID: l.group, Protocol: "tcp", FromPort: 2003, ToPort: 2003, PrefixListID: "pl-0123456789abcdef1"},
	}
	got := l.Rules(l.group)
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("Rules (-want +got):\n%s", d)
	}
}

func TestModifyOfTheDescriptionAlone(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	id := l.add(consoleRule(80))
	noError(t, l.modify(move(id, 80)))
	if got := l.Rules(l.group)[0].Description; got != "moved" {
		t.Errorf("Description = %q, want moved", got)
	}
}

// The codes and messages up to "two sources" are verified on AWS: getmoto/moto,
// test_modify_security_group_rules.
func TestModifyRefuses(t *testing.T) {
	type request = types.SecurityGroupRuleRequest
	type updates = []types.SecurityGroupRuleUpdate
	l := newLab(t, ec2fake.Options{})
	a, b := l.add(consoleRule(80)), l.add(consoleRule(81))
	l.add(consoleRule(82))
	// alone would be fine but for the updates after it.
	alone := move(a, 99)
	tests := []struct {
		name          string
		updates       updates
		code, message string
	}{
		{"absent rule", updates{alone, move("sgr-00000000", 90)}, "InvalidSecurityGroupRuleId.NotFound",
			"The security group rule ID 'sgr-00000000' does not exist"},
		{"no protocol", updates{alone, move(b, 90, func(r *request) { r.IpProtocol = nil })}, "InvalidParameterValue",
			"Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly."},
		{"one port", updates{alone, move(b, 90, func(r *request) { r.FromPort = nil })}, "InvalidParameterValue",
			"Invalid value for portRange. Must specify both from and to ports with TCP/UDP."},
		{"no source", updates{alone, move(b, 90, func(r *request) { r.CidrIpv4 = nil })}, "MissingParameter",
			"The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId"},
		{"two sources", updates{alone, move(b, 90, func(r *request) { r.CidrIpv6 = aws.String("::/0") })},
			"InvalidParameterCombination", "Only one of cidrIp, cidrIpv6, prefixListId, or referencedGroupId can be specified"},
		{"malformed rule", updates{alone, move("rule", 90)}, "InvalidSecurityGroupRuleId.Malformed",
			`Invalid id: "rule" (expecting "sgr-...")`},
		{"outbound rule", updates{alone, move("sgr-00000000000000001", 90)}, "InvalidSecurityGroupRuleId.NotFound",
			"The security group rule ID 'sgr-00000000000000001' does not exist"},
		{"onto another rule", updates{alone, move(b, 82)}, "InvalidPermission.Duplicate",
			`the specified rule "peer: 0.0.0.0/0, TCP, from port: 82, to port: 82, ALLOW" already exists`},
		{"onto a rule that moves away", updates{move(b, 80), move(a, 90)}, "InvalidPermission.Duplicate",
			`the specified rule "peer: 0.0.0.0/0, TCP, from port: 80, to port: 80, ALLOW" already exists`},
		{"onto each other", updates{move(a, 90), move(b, 90)}, "InvalidParameterValue",
			"The same permission must not appear multiple times"},
		{"one rule twice", updates{move(b, 90), move(b, 91)}, "InvalidParameterValue",
			"Duplicated security group rule ID '" + b + "'. The same security group rule ID must not appear multiple times."},
		{"another type of source", updates{
			alone, move(b, 90, func(r *request) { r.CidrIpv4, r.CidrIpv6 = nil, aws.String("::/0") })}, "InvalidParameterValue",
			"Invalid rule type for security group rule '" + b + "'. You may not specify CidrIpv6 for an existing CidrIpv4 rule."},
		{"absent source group", updates{
			alone, move(b, 90, func(r *request) { r.CidrIpv4, r.ReferencedGroupId = nil, aws.String("sg-00000000") })}, "InvalidGroup.NotFound",
			"The security group 'sg-00000000' does not exist"},
		{"no rule", updates{alone, {SecurityGroupRuleId: aws.String(b)}}, "MissingParameter",
			"The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId"},
		{"nothing", updates{}, "MissingParameter", "The request must contain the parameter securityGroupRules"},
		{"no id", updates{{SecurityGroupRule: &request{}, SecurityGroupRuleId: aws.String("")}}, "MissingParameter",
			"The request must contain the parameter SecurityGroupRule.1.SecurityGroupRuleId"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantError(t, l.modify(tt.updates...), 400, tt.code, tt.message)
			l.wantPorts(80, 81, 82)
		})
	}
}

func TestModifyOfAnAbsentGroup(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	_, err := l.client.ModifySecurityGroupRules(context.Background(), &ec2.ModifySecurityGroupRulesInput{
		GroupId: aws.String("sg-00000000"), SecurityGroupRules: []types.SecurityGroupRuleUpdate{move("sgr-1", 1)},
	})
	wantError(t, err, 400, "InvalidGroup.NotFound", "The security group 'sg-00000000' does not exist")
}
