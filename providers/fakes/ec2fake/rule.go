package ec2fake

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// A Rule is one inbound rule of a security group. Its source is exactly one of
// CIDR, PrefixListID and ReferencedGroupID.
type Rule struct {
	ID      string // sgr-..., given by the fake
	GroupID string // sg-..., given by the fake

	Protocol string // "tcp", "udp", "icmp", "icmpv6", a number, or "-1" for all
	FromPort int    // first port, or ICMP type; -1 is all
	ToPort   int    // last port, or ICMP code; -1 is all

	CIDR              netip.Prefix // IPv4 or IPv6, canonical
	PrefixListID      string       // pl-...
	ReferencedGroupID string       // sg-...

	Description string
	Tags        map[string]string
}

// sourceKind is the type of a rule's source, named as the parameter of
// ModifySecurityGroupRules is.
type sourceKind string

const (
	cidrIPv4        sourceKind = "CidrIpv4"
	cidrIPv6        sourceKind = "CidrIpv6"
	prefixList      sourceKind = "PrefixListId"
	referencedGroup sourceKind = "ReferencedGroupId"
)

func (r Rule) kind() sourceKind {
	switch {
	case r.PrefixListID != "":
		return prefixList
	case r.ReferencedGroupID != "":
		return referencedGroup
	case r.CIDR.Addr().Is4():
		return cidrIPv4
	default:
		return cidrIPv6
	}
}

func (r Rule) source() string {
	switch r.kind() {
	case prefixList:
		return r.PrefixListID
	case referencedGroup:
		return r.ReferencedGroupID
	default:
		return r.CIDR.String()
	}
}

// identity is what makes two rules of a group the same to AWS. Description and
// tags are not part of it.
type identity struct {
	protocol string
	from, to int
	source   string
}

func (r Rule) identity() identity {
	return identity{r.Protocol, r.FromPort, r.ToPort, r.source()}
}

// peer describes r as the message of InvalidPermission.Duplicate does.
func (r Rule) peer() string {
	what := strings.ToUpper(r.Protocol)
	switch r.Protocol {
	case "-1":
		what = "ALL"
	case "tcp", "udp":
		what += fmt.Sprintf(", from port: %d, to port: %d", r.FromPort, r.ToPort)
	case "icmp", "icmpv6":
		what += fmt.Sprintf(", type: %s, code: %s", numberOrAll(r.FromPort), numberOrAll(r.ToPort))
	}
	return fmt.Sprintf("peer: %s, %s, ALLOW", r.source(), what)
}

func numberOrAll(n int) string {
	if n == -1 {
		return "ALL"
	}
	return fmt.Sprint(n)
}

// families counts what r costs of the limits for IPv4 and for IPv6: a source
// that is not an address range costs both.
// https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html
func (r Rule) families() (v4, v6 int) {
	switch r.kind() {
	case cidrIPv4:
		return 1, 0
	case cidrIPv6:
		return 0, 1
	default:
		return 1, 1
	}
}

func (r Rule) clone() Rule {
	r.Tags = maps.Clone(r.Tags)
	return r
}

func cloneRules(rules []Rule) []Rule {
	out := slices.Clone(rules)
	for i := range out {
		out[i] = out[i].clone()
	}
	return out
}

func indexOfID(rules []Rule, id string) int {
	return slices.IndexFunc(rules, func(r Rule) bool { return r.ID == id })
}

func indexOfIdentity(rules []Rule, want identity) int {
	return slices.IndexFunc(rules, func(r Rule) bool { return r.identity() == want })
}
