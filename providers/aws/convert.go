package aws

import (
	"cmp"
	"net/netip"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/portsnare/portsnare"
)

// tagKey is the tag whose value is the owner mark of a rule.
const tagKey = "portsnare"

// toRules tells one rule of EC2 in our words: as two where it admits every
// protocol, and as one with an empty range where it speaks of no port.
func toRules(r types.SecurityGroupRule) []portsnare.Rule {
	var rules []portsnare.Rule
	for _, ports := range toRanges(r) {
		rules = append(rules, portsnare.Rule{
			ID:      sdk.ToString(r.SecurityGroupRuleId),
			Opening: portsnare.Opening{Range: ports, Source: toSource(r)},
			Mark:    toMark(r.Tags),
		})
	}
	return rules
}

// toRanges: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SecurityGroupRule.html
// (checked 2026-11-21).
func toRanges(r types.SecurityGroupRule) []portsnare.PortRange {
	switch sdk.ToString(r.IpProtocol) {
	case "tcp", "6":
		return []portsnare.PortRange{toRange(portsnare.TCP, r)}
	case "udp", "17":
		return []portsnare.PortRange{toRange(portsnare.UDP, r)}
	case "-1":
		return []portsnare.PortRange{
			{Protocol: portsnare.TCP, From: 1, To: 65535},
			{Protocol: portsnare.UDP, From: 1, To: 65535},
		}
	}
	return []portsnare.PortRange{{}} // ICMP, GRE, …: no port, and yet a rule
}

// toRange leaves out port 0, which EC2 takes and nobody can use. Where EC2 does
// not name the ports, every port is meant.
func toRange(protocol portsnare.Protocol, r types.SecurityGroupRule) portsnare.PortRange {
	from, to := sdk.ToInt32(r.FromPort), sdk.ToInt32(r.ToPort)
	if r.ToPort == nil || to < 0 {
		to = 65535
	}
	if to == 0 {
		return portsnare.PortRange{}
	}
	return portsnare.PortRange{Protocol: protocol, From: uint16(max(from, 1)), To: uint16(to)}
}

// toSource returns the zero Source for a security group or a prefix list.
func toSource(r types.SecurityGroupRule) portsnare.Source {
	prefix, err := netip.ParsePrefix(cmp.Or(sdk.ToString(r.CidrIpv4), sdk.ToString(r.CidrIpv6)))
	if err != nil {
		return portsnare.Source{}
	}
	return prefix.Masked()
}

func toMark(tags []types.Tag) portsnare.Mark {
	for _, t := range tags {
		if sdk.ToString(t.Key) == tagKey {
			mark, _ := portsnare.ParseMark(sdk.ToString(t.Value)) // anything else is not ours
			return mark
		}
	}
	return ""
}

// fromMark is the tag with which rules of ours are born.
func fromMark(mark portsnare.Mark) []types.TagSpecification {
	return []types.TagSpecification{{
		ResourceType: types.ResourceTypeSecurityGroupRule,
		Tags:         []types.Tag{{Key: sdk.String(tagKey), Value: sdk.String(string(mark))}},
	}}
}

// description is for whoever looks at the rule in the console.
func description(mark portsnare.Mark) *string {
	return sdk.String("portsnare: trap of group " + string(mark) + ", do not edit")
}

// fromOpenings folds openings into one permission for each port range, which
// EC2 makes into one rule for each source.
func fromOpenings(openings []portsnare.Opening, mark portsnare.Mark) []types.IpPermission {
	var permissions []types.IpPermission
	var ranges []portsnare.PortRange // of permissions, one by one
	for _, o := range openings {
		i := slices.Index(ranges, o.Range)
		if i < 0 {
			i = len(ranges)
			ranges = append(ranges, o.Range)
			permissions = append(permissions, types.IpPermission{
				IpProtocol: sdk.String(o.Range.Protocol.String()),
				FromPort:   sdk.Int32(int32(o.Range.From)),
				ToPort:     sdk.Int32(int32(o.Range.To)),
			})
		}
		addSource(&permissions[i], o.Source, description(mark))
	}
	return permissions
}

func addSource(p *types.IpPermission, source portsnare.Source, description *string) {
	cidr := sdk.String(source.String())
	if source.Addr().Is4() {
		p.IpRanges = append(p.IpRanges, types.IpRange{CidrIp: cidr, Description: description})
	} else {
		p.Ipv6Ranges = append(p.Ipv6Ranges, types.Ipv6Range{CidrIpv6: cidr, Description: description})
	}
}

// fromSwap asks for a rule to become another opening. It names every field: the
// ports and the source must be there, and what EC2 makes of a description that
// is not is nowhere said.
func fromSwap(s swap, mark portsnare.Mark) types.SecurityGroupRuleUpdate {
	request := &types.SecurityGroupRuleRequest{
		IpProtocol:  sdk.String(s.to.Range.Protocol.String()),
		FromPort:    sdk.Int32(int32(s.to.Range.From)),
		ToPort:      sdk.Int32(int32(s.to.Range.To)),
		Description: description(mark),
	}
	if cidr := sdk.String(s.to.Source.String()); s.to.Source.Addr().Is4() {
		request.CidrIpv4 = cidr
	} else {
		request.CidrIpv6 = cidr
	}
	return types.SecurityGroupRuleUpdate{SecurityGroupRuleId: sdk.String(s.rule.ID), SecurityGroupRule: request}
}
