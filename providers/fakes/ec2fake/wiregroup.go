package ec2fake

import (
	"fmt"
	"slices"
)

type wireGroup struct {
	OwnerID     string           `xml:"ownerId"`
	ID          string           `xml:"groupId"`
	Name        string           `xml:"groupName"`
	Description string           `xml:"groupDescription"`
	VPCID       string           `xml:"vpcId"`
	ARN         string           `xml:"securityGroupArn"`
	Ingress     []wirePermission `xml:"ipPermissions>item"`
	Egress      []wirePermission `xml:"ipPermissionsEgress>item"`
}

func (s *store) wireGroups(groups []group) []wireGroup {
	var out []wireGroup
	for _, g := range groups {
		out = append(out, wireGroup{
			OwnerID: accountID, ID: g.id, Name: g.name, Description: g.name, VPCID: vpcID,
			ARN:     fmt.Sprintf("arn:aws:ec2:%s:%s:security-group/%s", s.region, accountID, g.id),
			Ingress: wirePermissions(g.rules),
			Egress:  wirePermissions([]Rule{g.egress}),
		})
	}
	return out
}

// wirePermission is the old form of rules: one entry for each protocol and
// port range, with all its sources, without ids and tags.
type wirePermission struct {
	Protocol    string           `xml:"ipProtocol"`
	FromPort    *int             `xml:"fromPort"`
	ToPort      *int             `xml:"toPort"`
	IPv4        []wireIPv4       `xml:"ipRanges>item"`
	IPv6        []wireIPv6       `xml:"ipv6Ranges>item"`
	PrefixLists []wirePrefixList `xml:"prefixListIds>item"`
	Groups      []wireGroupPair  `xml:"groups>item"`
}

type wireIPv4 struct {
	CIDR        string `xml:"cidrIp"`
	Description string `xml:"description,omitempty"`
}

type wireIPv6 struct {
	CIDR        string `xml:"cidrIpv6"`
	Description string `xml:"description,omitempty"`
}

type wirePrefixList struct {
	ID          string `xml:"prefixListId"`
	Description string `xml:"description,omitempty"`
}

type wireGroupPair struct {
	UserID      string `xml:"userId"`
	ID          string `xml:"groupId"`
	Description string `xml:"description,omitempty"`
}

func wirePermissions(rules []Rule) []wirePermission {
	type span struct {
		protocol string
		from, to int
	}
	var spans []span
	var out []wirePermission
	for _, r := range rules {
		at := span{r.Protocol, r.FromPort, r.ToPort}
		i := slices.Index(spans, at)
		if i < 0 {
			i = len(spans)
			spans = append(spans, at)
			out = append(out, newWirePermission(r))
		}
		out[i].add(r)
	}
	return out
}

// newWirePermission leaves out the ports of a rule for all protocols, as AWS
// does here and not in DescribeSecurityGroupRules.
func newWirePermission(r Rule) wirePermission {
	if r.Protocol == "-1" {
		return wirePermission{Protocol: r.Protocol}
	}
	return wirePermission{Protocol: r.Protocol, FromPort: &r.FromPort, ToPort: &r.ToPort}
}

func (p *wirePermission) add(r Rule) {
	switch r.kind() {
	case cidrIPv4:
		p.IPv4 = append(p.IPv4, wireIPv4{r.source(), r.Description})
	case cidrIPv6:
		p.IPv6 = append(p.IPv6, wireIPv6{r.source(), r.Description})
	case prefixList:
		p.PrefixLists = append(p.PrefixLists, wirePrefixList{r.source(), r.Description})
	case referencedGroup:
		p.Groups = append(p.Groups, wireGroupPair{accountID, r.source(), r.Description})
	}
}
