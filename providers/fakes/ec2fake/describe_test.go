package ec2fake_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

func where(name string, values ...string) types.Filter {
	return types.Filter{Name: &name, Values: values}
}

// ruleIDs lists rules by the real paginator.
func (l *lab) ruleIDs(in *ec2.DescribeSecurityGroupRulesInput) (ids []string, pages int, err error) {
	pager := ec2.NewDescribeSecurityGroupRulesPaginator(l.client, in)
	for pager.HasMorePages() {
		out, err := pager.NextPage(context.Background())
		if err != nil {
			return nil, pages, err
		}
		pages++
		for _, r := range out.SecurityGroupRules {
			ids = append(ids, *r.SecurityGroupRuleId)
		}
	}
	return ids, pages, nil
}

func TestDescribeRules(t *testing.T) {
	l := newLab(t, ec2fake.Options{Region: "ap-northeast-1"})
	l.client = l.sdk(func(o *ec2.Options) { o.Region = "ap-northeast-1" })
	v4 := l.add(ec2fake.Rule{
		Protocol: "tcp", FromPort: 80, ToPort: 90, CIDR: netip.MustParsePrefix(everyone),
		Description: "a & b = {c}", Tags: map[string]string{"z": "<1>", "a": ""},
	})
	l.add(ec2fake.Rule{Protocol: "udp", FromPort: 53, ToPort: 53, ReferencedGroupID: l.group})
	l.add(ec2fake.Rule{Protocol: "tcp", FromPort: 25, ToPort: 25, PrefixListID: "pl-0123456789abcdef0"})

	out, err := l.client.DescribeSecurityGroupRules(context.Background(), &ec2.DescribeSecurityGroupRulesInput{
		Filters: []types.Filter{where("group-id", l.group)},
	})
	noError(t, err)
	rule := func(n int, protocol string, from, to int32, egress bool) types.SecurityGroupRule {
		id := fmt.Sprintf("sgr-%017x", n)
		return types.SecurityGroupRule{
			SecurityGroupRuleId:  &id,
			SecurityGroupRuleArn: aws.String("arn:aws:ec2:ap-northeast-1:123456789012:security-group-rule/" + id),
			GroupId:              &l.group, GroupOwnerId: aws.String("123456789012"),
			IpProtocol: &protocol, FromPort: &from, ToPort: &to, IsEgress: &egress,
		}
	}
	want := []types.SecurityGroupRule{
		rule(1, "-1", -1, -1, true),
		rule(2, "tcp", 80, 90, false),
		rule(3, "udp", 53, 53, false),
		rule(4, "tcp", 25, 25, false),
	}
	want[0].CidrIpv4 = aws.String(everyone)
	want[1].CidrIpv4, want[1].Description = aws.String(everyone), aws.String("a & b = {c}")
	want[1].Tags = []types.Tag{{Key: aws.String("a"), Value: aws.String("")}, {Key: aws.String("z"), Value: aws.String("<1>")}}
	want[2].ReferencedGroupInfo = &types.ReferencedSecurityGroup{GroupId: &l.group, UserId: aws.String("123456789012")}
	want[3].PrefixListId = aws.String("pl-0123456789abcdef0")
	unexported := cmpopts.IgnoreUnexported(types.SecurityGroupRule{}, types.Tag{}, types.ReferencedSecurityGroup{})
	if d := cmp.Diff(want, out.SecurityGroupRules, unexported, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("SecurityGroupRules (-want +got):\n%s", d)
	}
	if *want[1].SecurityGroupRuleId != v4 {
		t.Errorf("AddRule returned %s, want %s", v4, *want[1].SecurityGroupRuleId)
	}
}

func TestDescribeRulesFilters(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	mark := func(port int, owner string) string {
		r := consoleRule(port)
		r.Tags = map[string]string{"owner": owner}
		return l.add(r)
	}
	a, b, c := mark(80, "us"), mark(81, "them"), l.add(consoleRule(82))
	other := l.CreateGroup("other")
	const out1, out2 = "sgr-00000000000000001", "sgr-00000000000000005"

	tests := []struct {
		name string
		in   ec2.DescribeSecurityGroupRulesInput
		want []string
	}{
		{"all", ec2.DescribeSecurityGroupRulesInput{}, []string{out1, a, b, c, out2}},
		{"a group", ec2.DescribeSecurityGroupRulesInput{Filters: []types.Filter{where("group-id", other)}}, []string{out2}},
		{"two groups", ec2.DescribeSecurityGroupRulesInput{Filters: []types.Filter{where("group-id", other, l.group)}}, []string{out1, a, b, c, out2}},
		{"an absent group", ec2.DescribeSecurityGroupRulesInput{Filters: []types.Filter{where("group-id", "sg-005216b55886f0fdc")}}, nil},
		{"a tag", ec2.DescribeSecurityGroupRulesInput{Filters: []types.Filter{where("tag:owner", "us")}}, []string{a}},
		{"tag values", ec2.DescribeSecurityGroupRulesInput{Filters: []types.Filter{where("tag:owner", "us", "them")}}, []string{a, b}},
		{"an absent tag", ec2.DescribeSecurityGroupRulesInput{Filters: []types.Filter{where("tag:Owner", "")}}, nil},
		{"rules by filter", ec2.DescribeSecurityGroupRulesInput{Filters: []types.Filter{where("security-group-rule-id", b, "sgr-0")}}, []string{b}},
		{"both filters", ec2.DescribeSecurityGroupRulesInput{
			Filters: []types.Filter{where("group-id", l.group), where("tag:owner", "them")}}, []string{b}},
		{"rules by id", ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{c, out2}}, []string{c, out2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := l.ruleIDs(&tt.in)
			noError(t, err)
			if d := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("rules (-want +got):\n%s", d)
			}
		})
	}
}

func TestDescribeRulesRefuses(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	tests := []struct {
		name string
		in   ec2.DescribeSecurityGroupRulesInput
		code string
		text string
	}{
		{"malformed group", ec2.DescribeSecurityGroupRulesInput{Filters: []types.Filter{where("group-id", "foobar")}},
			"InvalidGroupId.Malformed", "The security group ID 'foobar' is malformed"},
		{"absent rule", ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{"sgr-0f80c7e764c18b3c0"}},
			"InvalidSecurityGroupRuleId.NotFound", "The security group rule ID 'sgr-0f80c7e764c18b3c0' does not exist"},
		{"malformed rule", ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{"sg-0f80c7e764c18b3c0"}},
			"InvalidSecurityGroupRuleId.Malformed", `Invalid id: "sg-0f80c7e764c18b3c0" (expecting "sgr-...")`},
		{"unknown filter", ec2.DescribeSecurityGroupRulesInput{Filters: []types.Filter{where("cidr", everyone)}},
			"InvalidParameterValue", "The filter 'cidr' is invalid"},
		{"wildcard", ec2.DescribeSecurityGroupRulesInput{Filters: []types.Filter{where("tag:owner", "*")}},
			"InvalidParameterValue", "The filter 'tag:owner' has the value '*': this endpoint knows no wildcards"},
		{"filter without value", ec2.DescribeSecurityGroupRulesInput{Filters: []types.Filter{where("group-id")}},
			"InvalidParameterValue", "The filter 'group-id' has no value"},
		{"201 values", ec2.DescribeSecurityGroupRulesInput{Filters: []types.Filter{where("tag:a", make([]string, 201)...)}},
			"FilterLimitExceeded", "The maximum number of filter values specified on a single call is 200"},
		{"page too small", ec2.DescribeSecurityGroupRulesInput{MaxResults: aws.Int32(4)},
			"InvalidParameterValue", "Value ( 4 ) for parameter maxResults is invalid. Expecting a value greater than 5."},
		{"page too large", ec2.DescribeSecurityGroupRulesInput{MaxResults: aws.Int32(1001)},
			"InvalidParameterValue", "Value ( 1001 ) for parameter maxResults is invalid. Expecting a value smaller than 1000."},
		{"pages of named rules", ec2.DescribeSecurityGroupRulesInput{MaxResults: aws.Int32(5), SecurityGroupRuleIds: []string{"sgr-00000000000000001"}},
			"InvalidParameterCombination", "The parameter SecurityGroupRuleId cannot be used with the parameter maxResults"},
		{"token", ec2.DescribeSecurityGroupRulesInput{NextToken: aws.String("page 2")},
			"InvalidNextToken", "The token 'page 2' is invalid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := l.client.DescribeSecurityGroupRules(context.Background(), &tt.in)
			wantError(t, err, 400, tt.code, tt.text)
		})
	}
}

func TestDescribeRulesInPages(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	for port := 1; port <= 12; port++ {
		l.add(consoleRule(port))
	}
	for _, tt := range []struct {
		max   *int32
		pages int
	}{{nil, 1}, {aws.Int32(5), 3}, {aws.Int32(12), 2}, {aws.Int32(13), 1}, {aws.Int32(1000), 1}} {
		ids, pages, err := l.ruleIDs(&ec2.DescribeSecurityGroupRulesInput{
			MaxResults: tt.max, Filters: []types.Filter{where("group-id", l.group)},
		})
		noError(t, err)
		if pages != tt.pages {
			t.Errorf("MaxResults %d: %d pages, want %d", aws.ToInt32(tt.max), pages, tt.pages)
		}
		for i, id := range ids {
			if want := fmt.Sprintf("sgr-%017x", i+1); id != want {
				t.Errorf("MaxResults %d: rule %d is %s, want %s", aws.ToInt32(tt.max), i, id, want)
			}
		}
		if len(ids) != 13 {
			t.Errorf("MaxResults %d: %d rules, want 13", aws.ToInt32(tt.max), len(ids))
		}
	}
}

// A rule that goes while its neighbours are being listed hides none of them.
func TestDescribePagesSurviveARemoval(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	var ids []string
	for port := 1; port <= 9; port++ {
		ids = append(ids, l.add(consoleRule(port)))
	}
	pager := ec2.NewDescribeSecurityGroupRulesPaginator(l.client, &ec2.DescribeSecurityGroupRulesInput{MaxResults: aws.Int32(5)})
	_, err := pager.NextPage(context.Background())
	noError(t, err)
	noError(t, l.RemoveRule(l.group, ids[3])) // the last of the first page
	out, err := pager.NextPage(context.Background())
	noError(t, err)
	if got := *out.SecurityGroupRules[0].SecurityGroupRuleId; got != ids[4] {
		t.Errorf("the second page starts with %s, want %s", got, ids[4])
	}
}

func TestDescribeGroups(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	l.add(ec2fake.Rule{Protocol: "tcp", FromPort: 22, ToPort: 22, CIDR: netip.MustParsePrefix("10.0.0.0/24"), Description: "office"})
	l.add(ec2fake.Rule{Protocol: "-1", FromPort: -1, ToPort: -1, ReferencedGroupID: l.group})
	l.add(ec2fake.Rule{Protocol: "tcp", FromPort: 22, ToPort: 22, CIDR: netip.MustParsePrefix("2001:db8::/32")})
	l.add(ec2fake.Rule{Protocol: "tcp", FromPort: 22, ToPort: 22, PrefixListID: "pl-0123456789abcdef0"})
	l.CreateGroup("other")

	out, err := l.client.DescribeSecurityGroups(context.Background(), &ec2.DescribeSecurityGroupsInput{GroupIds: []string{l.group}})
	noError(t, err)
	want := []types.SecurityGroup{{
		GroupId: &l.group, GroupName: aws.String("web"), Description: aws.String("web"),
		OwnerId: aws.String("123456789012"), VpcId: aws.String("vpc-00000000000000001"),
		SecurityGroupArn: aws.String("arn:aws:ec2:us-east-1:123456789012:security-group/" + l.group),
		IpPermissions: []types.IpPermission{{
			IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22),
			IpRanges:      []types.IpRange{{CidrIp: aws.String("10.0.0.0/24"), Description: aws.String("office")}},
			Ipv6Ranges:    []types.Ipv6Range{{CidrIpv6: aws.String("2001:db8::/32")}},
			PrefixListIds: []types.PrefixListId{{PrefixListId: aws.String("pl-0123456789abcdef0")}},
		}, {
			IpProtocol:       aws.String("-1"),
			UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: &l.group, UserId: aws.String("123456789012")}},
		}},
		IpPermissionsEgress: []types.IpPermission{{
			IpProtocol: aws.String("-1"), IpRanges: []types.IpRange{{CidrIp: aws.String(everyone)}},
		}},
	}}
	unexported := cmpopts.IgnoreUnexported(types.SecurityGroup{}, types.IpPermission{}, types.IpRange{}, types.Ipv6Range{},
		types.PrefixListId{}, types.UserIdGroupPair{})
	if d := cmp.Diff(want, out.SecurityGroups, unexported, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("SecurityGroups (-want +got):\n%s", d)
	}
}

func TestDescribeGroupsSelects(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	other := l.CreateGroup("other")
	tests := []struct {
		name string
		in   ec2.DescribeSecurityGroupsInput
		want []string
		code string
	}{
		{name: "all", want: []string{l.group, other}},
		{name: "an id", in: ec2.DescribeSecurityGroupsInput{GroupIds: []string{other}}, want: []string{other}},
		{name: "a filter", in: ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{where("group-id", other)}}, want: []string{other}},
		{name: "a name", in: ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{where("group-name", "web")}}, want: []string{l.group}},
		{name: "the VPC", in: ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{where("vpc-id", "vpc-00000000000000001")}}, want: []string{l.group, other}},
		{name: "an absent filter value", in: ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{where("group-id", "sg-00000000")}}},
		{name: "an absent id", in: ec2.DescribeSecurityGroupsInput{GroupIds: []string{l.group, "sg-00000000"}}, code: "InvalidGroup.NotFound"},
		{name: "a malformed id", in: ec2.DescribeSecurityGroupsInput{GroupIds: []string{"web"}}, code: "InvalidGroupId.Malformed"},
		{name: "an unknown filter", in: ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{where("size", "1")}}, code: "InvalidParameterValue"},
		{name: "a page", in: ec2.DescribeSecurityGroupsInput{MaxResults: aws.Int32(5)}, want: []string{l.group, other}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := l.client.DescribeSecurityGroups(context.Background(), &tt.in)
			if tt.code != "" {
				wantError(t, err, 400, tt.code)
				return
			}
			noError(t, err)
			var got []string
			for _, g := range out.SecurityGroups {
				got = append(got, *g.GroupId)
			}
			if d := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("groups (-want +got):\n%s", d)
			}
		})
	}
}
