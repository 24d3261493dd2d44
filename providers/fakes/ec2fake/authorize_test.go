package ec2fake_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

func tagged(key, value string) []types.TagSpecification {
	return []types.TagSpecification{{
		ResourceType: types.ResourceTypeSecurityGroupRule,
		Tags:         []types.Tag{{Key: aws.String(key), Value: aws.String(value)}},
	}}
}

func TestAuthorizeReturnsEveryRuleItMade(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	permission := types.IpPermission{
		IpProtocol: aws.String("TCP"), FromPort: aws.Int32(8000), ToPort: aws.Int32(8010),
		IpRanges: []types.IpRange{
			{CidrIp: aws.String("198.51.100.7/24"), Description: aws.String("portsnare g1")},
			{CidrIp: aws.String("192.0.2.0/24")},
		},
		Ipv6Ranges: []types.Ipv6Range{{CidrIpv6: aws.String("2001:DB8::1/32"), Description: aws.String("v6")}},
	}
	out, err := l.client.AuthorizeSecurityGroupIngress(context.Background(), &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: aws.String(l.group), IpPermissions: []types.IpPermission{permission}, TagSpecifications: tagged("portsnare", "web"),
	})
	noError(t, err)
	rule := func(n int, v4, v6, description *string) types.SecurityGroupRule {
		id := fmt.Sprintf("sgr-%017x", n)
		return types.SecurityGroupRule{
			SecurityGroupRuleId:  &id,
			SecurityGroupRuleArn: aws.String("arn:aws:ec2:us-east-1:123456789012:security-group-rule/" + id),
			GroupId:              aws.String(l.group), GroupOwnerId: aws.String("123456789012"),
			IpProtocol: aws.String("tcp"), FromPort: aws.Int32(8000), ToPort: aws.Int32(8010),
			CidrIpv4: v4, CidrIpv6: v6, Description: description, IsEgress: aws.Bool(false),
			Tags: []types.Tag{{Key: aws.String("portsnare"), Value: aws.String("web")}},
		}
	}
	want := []types.SecurityGroupRule{ // 1 is the outbound rule
		rule(2, aws.String("198.51.100.0/24"), nil, aws.String("portsnare g1")),
		rule(3, aws.String("192.0.2.0/24"), nil, nil),
		rule(4, nil, aws.String("2001:db8::/32"), aws.String("v6")),
	}
	if d := cmp.Diff(want, out.SecurityGroupRules, cmpopts.IgnoreUnexported(types.SecurityGroupRule{}, types.Tag{})); d != "" {
		t.Errorf("SecurityGroupRules (-want +got):\n%s", d)
	}
	if !aws.ToBool(out.Return) {
		t.Error("Return is not true")
	}
}

func TestAuthorizeStoresEverySource(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	other := l.CreateGroup("balancer")
	p := tcp(22)
	p.PrefixListIds = []types.PrefixListId{{PrefixListId: aws.String("pl-0123456789abcdef0")}}
	p.UserIdGroupPairs = []types.UserIdGroupPair{{GroupId: aws.String(other), Description: aws.String("lb")}}
	all := types.IpPermission{IpProtocol: aws.String("-1"), IpRanges: []types.IpRange{{CidrIp: aws.String("192.0.2.1/32")}}}
	ping := types.IpPermission{
		IpProtocol: aws.String("1"), FromPort: aws.Int32(8), ToPort: aws.Int32(-1),
		IpRanges: []types.IpRange{{CidrIp: aws.String(everyone)}},
	}
	gre := types.IpPermission{IpProtocol: aws.String("47"), IpRanges: []types.IpRange{{CidrIp: aws.String(everyone)}}}
	_, err := l.authorize(p, all, ping, gre)
	noError(t, err)

	want := []ec2fake.Rule{
		{Protocol: "tcp", FromPort: 22, ToPort: 22, PrefixListID: "pl-0123456789abcdef0"},
		{Protocol: "tcp", FromPort: 22, ToPort: 22, ReferencedGroupID: other, Description: "lb"},
		{Protocol: "-1", FromPort: -1, ToPort: -1, CIDR: netip.MustParsePrefix("192.0.2.1/32")},
		{Protocol: "icmp", FromPort: 8, ToPort: -1, CIDR: netip.MustParsePrefix(everyone)},
		{Protocol: "47", FromPort: -1, ToPort: -1, CIDR: netip.MustParsePrefix(everyone)},
	}
	got := l.Rules(l.group)
	ignored := cmpopts.IgnoreFields(ec2fake.Rule{}, "ID", "GroupID", "Tags")
	if d := cmp.Diff(want, got, ignored, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
		t.Errorf("Rules (-want +got):\n%s", d)
	}
}

func TestAuthorizeRefuses(t *testing.T) {
	described := func(text string) types.IpPermission {
		p := tcp(81, everyone)
		p.IpRanges[0].Description = &text
		return p
	}
	ports := func(protocol string, from, to *int32) types.IpPermission {
		p := tcp(0, everyone)
		p.IpProtocol, p.FromPort, p.ToPort = &protocol, from, to
		return p
	}
	from := func(id string) types.IpPermission {
		p := tcp(81)
		p.UserIdGroupPairs = []types.UserIdGroupPair{{GroupId: &id}}
		return p
	}
	p32 := aws.Int32
	tests := []struct {
		name    string
		bad     types.IpPermission
		code    string
		message string
	}{
		{"the same rule", tcp(443, everyone), "InvalidPermission.Duplicate",
			`the specified rule "peer: 0.0.0.0/0, TCP, from port: 443, to port: 443, ALLOW" already exists`},
		{"the same rule, spelled differently", tcp(443, "203.0.113.9/0"), "InvalidPermission.Duplicate",
			`the specified rule "peer: 0.0.0.0/0, TCP, from port: 443, to port: 443, ALLOW" already exists`},
		{"the same rule for all", ports("-1", p32(-1), p32(-1)), "InvalidPermission.Duplicate",
			`the specified rule "peer: 0.0.0.0/0, ALL, ALLOW" already exists`},
		{"the same rule for ping", ports("icmp", p32(8), nil), "InvalidPermission.Duplicate",
			`the specified rule "peer: 0.0.0.0/0, ICMP, type: 8, code: ALL, ALLOW" already exists`},
		{"twice in one call", tcp(80, everyone), "InvalidParameterValue",
			"The same permission must not appear multiple times"},
		{"twice in one permission", tcp(81, "192.0.2.0/24", "192.0.2.1/24"), "InvalidParameterValue",
			"The same permission must not appear multiple times"},
		{"no CIDR", tcp(81, "everyone"), "InvalidParameterValue", "CIDR block everyone is malformed"},
		{"IPv6 among IPv4", tcp(81, "::/0"), "InvalidParameterValue", "CIDR block ::/0 is malformed"},
		{"IPv4 among IPv6", tcp6(81, everyone), "InvalidParameterValue", "CIDR block 0.0.0.0/0 is malformed"},
		{"no source", tcp(81), "MissingParameter",
			"The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId"},
		{"no protocol", types.IpPermission{IpRanges: []types.IpRange{{CidrIp: aws.String(everyone)}}}, "InvalidParameterValue",
			"Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly."},
		{"unknown protocol", ports("esp", nil, nil), "InvalidParameterValue", "Invalid value 'esp' for IP protocol. Unknown protocol."},
		{"protocol 256", ports("256", nil, nil), "InvalidParameterValue", "Invalid value '256' for IP protocol. Unknown protocol."},
		{"no ports", ports("tcp", nil, nil), "InvalidParameterValue",
			"Invalid value for portRange. Must specify both from and to ports with TCP/UDP."},
		{"one port", ports("udp", p32(53), nil), "InvalidParameterValue",
			"Invalid value for portRange. Must specify both from and to ports with TCP/UDP."},
		{"port below", ports("tcp", p32(-1), p32(80)), "InvalidParameterValue", "TCP/UDP (from) port (-1) out of range"},
		{"port above", ports("tcp", p32(80), p32(65536)), "InvalidParameterValue", "TCP/UDP (to) port (65536) out of range"},
		{"ports turned round", ports("6", p32(81), p32(80)), "InvalidParameterValue", "Invalid TCP/UDP port range (81:80)"},
		{"ports of all protocols", ports("-1", p32(0), p32(65535)), "InvalidParameterValue",
			"You may not specify all protocols and specific ports. Please specify each protocol and port range combination individually, or all protocols and no port range."},
		{"ICMP type", ports("icmp", p32(256), p32(0)), "InvalidParameterValue", "ICMP type (256) out of range"},
		{"ICMP code", ports("icmpv6", p32(128), p32(256)), "InvalidParameterValue", "ICMP code (256) out of range"},
		{"ICMP code of all types", ports("icmp", nil, p32(0)), "InvalidParameterValue", "ICMP code (0) must be -1 when the ICMP type is -1"},
		{"description with a letter AWS does not take", described("portsnare's"), "InvalidParameterValue", ""},
		{"description too long", described(strings.Repeat("x", 256)), "InvalidParameterValue", ""},
		{"absent source group", from("sg-0123456789abcdef0"), "InvalidGroup.NotFound", "The security group 'sg-0123456789abcdef0' does not exist"},
		{"malformed source group", from("lb"), "InvalidGroupId.Malformed", `Invalid id: "lb" (expecting "sg-...")`},
		{"malformed prefix list", types.IpPermission{
			IpProtocol: aws.String("-1"), PrefixListIds: []types.PrefixListId{{PrefixListId: aws.String("s3")}},
		}, "InvalidPrefixListId.Malformed", `Invalid id: "s3" (expecting "pl-...")`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, ec2fake.Options{})
			l.add(consoleRule(443))
			l.add(ec2fake.Rule{Protocol: "-1", FromPort: -1, ToPort: -1, CIDR: netip.MustParsePrefix(everyone)})
			l.add(ec2fake.Rule{Protocol: "icmp", FromPort: 8, ToPort: -1, CIDR: netip.MustParsePrefix(everyone)})
			_, err := l.authorize(tcp(80, everyone), tt.bad)
			if tt.message == "" {
				wantError(t, err, 400, tt.code)
			} else {
				wantError(t, err, 400, tt.code, tt.message)
			}
			l.wantPorts(443, -1, 8) // not 80: all or nothing
		})
	}
}

func TestAuthorizeTagErrors(t *testing.T) {
	tests := []struct {
		name string
		tags []types.TagSpecification
		code string
	}{
		{"another resource", []types.TagSpecification{{
			ResourceType: types.ResourceTypeSecurityGroup, Tags: tagged("a", "b")[0].Tags}}, "InvalidParameterValue"},
		{"no tag", []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroupRule}}, "InvalidParameterValue"},
		{"reserved key", tagged("aws:me", "x"), "InvalidParameterValue"},
		{"empty key", tagged("", "x"), "InvalidParameterValue"},
		{"long key", tagged(strings.Repeat("k", 129), "x"), "InvalidParameterValue"},
		{"long value", tagged("k", strings.Repeat("v", 257)), "InvalidParameterValue"},
		{"two specifications", append(tagged("a", "b"), tagged("c", "d")...), "InvalidParameterValue"},
		{"one key twice", []types.TagSpecification{{
			ResourceType: types.ResourceTypeSecurityGroupRule,
			Tags:         append(tagged("a", "b")[0].Tags, tagged("a", "c")[0].Tags...)}}, "InvalidParameterValue"},
		{"51 tags", manyTags(51), "TagLimitExceeded"},
	}
	l := newLab(t, ec2fake.Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := l.client.AuthorizeSecurityGroupIngress(context.Background(), &ec2.AuthorizeSecurityGroupIngressInput{
				GroupId: aws.String(l.group), IpPermissions: []types.IpPermission{tcp(80, everyone)}, TagSpecifications: tt.tags,
			})
			wantError(t, err, 400, tt.code)
			l.wantPorts()
		})
	}
}

func manyTags(n int) []types.TagSpecification {
	specification := tagged("k0", "v")
	for i := 1; i < n; i++ {
		specification[0].Tags = append(specification[0].Tags, types.Tag{Key: aws.String(fmt.Sprint("k", i)), Value: aws.String("v")})
	}
	return specification
}

func TestAuthorizeWithoutPermissions(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	_, err := l.authorize()
	wantError(t, err, 400, "MissingParameter")
}

func TestTheGroupOfAWrite(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	tests := []struct {
		id   *string
		code string
	}{
		{nil, "MissingParameter"},
		{aws.String("web"), "InvalidGroupId.Malformed"},
		{aws.String("sg-0123456789abcdef0"), "InvalidGroup.NotFound"},
	}
	for _, tt := range tests {
		_, err := l.client.AuthorizeSecurityGroupIngress(context.Background(), &ec2.AuthorizeSecurityGroupIngressInput{
			GroupId: tt.id, IpPermissions: []types.IpPermission{tcp(80, everyone)}})
		wantError(t, err, 400, tt.code)
		_, err = l.client.RevokeSecurityGroupIngress(context.Background(), &ec2.RevokeSecurityGroupIngressInput{
			GroupId: tt.id, SecurityGroupRuleIds: []string{"sgr-1"}})
		wantError(t, err, 400, tt.code)
	}
}

func TestTheLimitCountsEachFamily(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	var v4, v6 []types.IpPermission
	for port := int32(1000); port < 1060; port++ {
		v4, v6 = append(v4, tcp(port, everyone)), append(v6, tcp6(port, "::/0"))
	}
	_, err := l.authorize(v4...)
	noError(t, err)
	_, err = l.authorize(v6[:59]...)
	noError(t, err)

	const message = "The maximum number of rules per security group has been reached."
	_, err = l.authorize(tcp(2000, everyone))
	wantError(t, err, 400, "RulesPerSecurityGroupLimitExceeded", message)
	_, err = l.authorize(v6[59], tcp6(2000, "::/0"))
	wantError(t, err, 400, "RulesPerSecurityGroupLimitExceeded", message)
	if got := len(l.Rules(l.group)); got != 119 {
		t.Errorf("%d rules, want 119", got)
	}
	_, err = l.authorize(v6[59])
	noError(t, err)
}

func TestAReferenceCountsForBothFamilies(t *testing.T) {
	l := newLab(t, ec2fake.Options{RuleLimit: 1})
	l.add(ec2fake.Rule{Protocol: "-1", FromPort: -1, ToPort: -1, ReferencedGroupID: l.group})
	for _, p := range []types.IpPermission{tcp(80, everyone), tcp6(80, "::/0")} {
		_, err := l.authorize(p)
		wantError(t, err, 400, "RulesPerSecurityGroupLimitExceeded")
	}
}
