package openstack

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"

	"github.com/portsnare/portsnare"
)

// The description of a rule of ours is the mark between these two. It is for
// people too, who see it beside the rule.
const (
	beforeMark = "portsnare: trap of group "
	afterMark  = ", do not edit"
)

// inbound returns the rules for traffic to the servers.
func inbound(all []rules.SecGroupRule) []rules.SecGroupRule {
	return slices.DeleteFunc(slices.Clone(all), func(r rules.SecGroupRule) bool {
		return r.Direction != string(rules.DirIngress)
	})
}

// toRules tells the inbound rules of Neutron in our words: one as two where it
// admits every protocol, and with an empty range where it speaks of no port.
func toRules(all []rules.SecGroupRule) []portsnare.Rule {
	var told []portsnare.Rule
	for _, r := range inbound(all) {
		for _, ports := range toRanges(r) {
			told = append(told, portsnare.Rule{
				ID:      r.ID,
				Opening: portsnare.Opening{Range: ports, Source: toSource(r)},
				Mark:    toMark(r.Description),
			})
		}
	}
	return told
}

// toRanges: https://docs.openstack.org/api-ref/network/v2/#security-group-rules-security-group-rules
// (checked 2026-11-21).
func toRanges(r rules.SecGroupRule) []portsnare.PortRange {
	switch strings.ToLower(r.Protocol) {
	case "tcp", "6":
		return []portsnare.PortRange{toRange(portsnare.TCP, r)}
	case "udp", "17":
		return []portsnare.PortRange{toRange(portsnare.UDP, r)}
	case "", "any":
		return []portsnare.PortRange{
			{Protocol: portsnare.TCP, From: 1, To: 65535},
			{Protocol: portsnare.UDP, From: 1, To: 65535},
		}
	}
	return []portsnare.PortRange{{}} // ICMP, GRE, …: no port, and yet a rule
}

// toRange: where Neutron does not name the ports, every port is meant.
func toRange(protocol portsnare.Protocol, r rules.SecGroupRule) portsnare.PortRange {
	from, to := r.PortRangeMin, r.PortRangeMax
	if to <= 0 {
		to = 65535
	}
	return portsnare.PortRange{Protocol: protocol, From: uint16(max(from, 1)), To: uint16(to)}
}

// toSource returns the zero Source for a security group or an address group.
// Where Neutron names no source at all, every address of the family is meant.
func toSource(r rules.SecGroupRule) portsnare.Source {
	if r.RemoteGroupID != "" || r.RemoteAddressGroupID != "" {
		return portsnare.Source{}
	}
	if r.RemoteIPPrefix == "" {
		for _, any := range portsnare.AnySource() {
			if r.EtherType == string(family(any)) {
				return any
			}
		}
	}
	prefix, err := netip.ParsePrefix(r.RemoteIPPrefix)
	if err != nil {
		return portsnare.Source{}
	}
	return prefix.Masked()
}

func family(source portsnare.Source) rules.RuleEtherType {
	if source.Addr().Is4() {
		return rules.EtherType4
	}
	return rules.EtherType6
}

func toMark(description string) portsnare.Mark {
	mark, begins := strings.CutPrefix(description, beforeMark)
	mark, ends := strings.CutSuffix(mark, afterMark)
	parsed, err := portsnare.ParseMark(mark)
	if !begins || !ends || err != nil {
		return ""
	}
	return parsed
}

// fromOpenings names the project, without which somebody who may write to every
// project makes rules in his own.
func fromOpenings(openings []portsnare.Opening, mark portsnare.Mark, group *groups.SecGroup) []rules.CreateOpts {
	made := make([]rules.CreateOpts, len(openings))
	for i, o := range openings {
		made[i] = rules.CreateOpts{
			Direction:      rules.DirIngress,
			Description:    beforeMark + string(mark) + afterMark,
			EtherType:      family(o.Source),
			SecGroupID:     group.ID,
			PortRangeMin:   int(o.Range.From),
			PortRangeMax:   int(o.Range.To),
			Protocol:       rules.RuleProtocol(o.Range.Protocol.String()),
			RemoteIPPrefix: o.Source.String(),
			ProjectID:      group.ProjectID,
		}
	}
	return made
}
