package vultr

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/vultr/govultr/v3"

	"github.com/portsnare/portsnare"
)

// notesPrefix stands before the owner mark in the notes of a rule of ours.
const notesPrefix = "portsnare:"

// toRule tells a rule of Vultr's in our words, with an empty range where it
// speaks of no port.
func toRule(r govultr.FirewallRule) portsnare.Rule {
	source := toSource(r)
	rule := portsnare.Rule{
		ID:      strconv.Itoa(r.ID),
		Opening: portsnare.Opening{Range: toRange(r.Protocol, r.Port), Source: source},
		Deny:    r.Action != "" && !strings.EqualFold(r.Action, "accept"),
	}
	if source.IsValid() { // we make no others
		rule.Mark = toMark(r.Notes)
	}
	return rule
}

// toRange returns every port of a protocol that has ports where those meant
// cannot be told: what nobody has seen yet must not look like fewer open ports.
func toRange(protocol, ports string) portsnare.PortRange {
	p, err := portsnare.ParseProtocol(protocol)
	if err != nil {
		return portsnare.PortRange{} // ICMP, GRE, ESP, AH
	}
	first, last, isRange := strings.Cut(ports, ":")
	if !isRange {
		last = first
	}
	from, errFrom := strconv.ParseUint(first, 10, 16)
	to, errTo := strconv.ParseUint(last, 10, 16)
	if errFrom != nil || errTo != nil || to == 0 || to < from {
		return portsnare.PortRange{Protocol: p, From: 1, To: 65535}
	}
	return portsnare.PortRange{Protocol: p, From: uint16(max(from, 1)), To: uint16(to)}
}

// toSource returns the zero Source where a rule is for Cloudflare or a load
// balancer. The source of any other is documented as empty, and since spring 2026
// is its own prefix (vultr/terraform-provider-vultr#722). An IPv6 subnet may be
// spelled otherwise than it was asked for (vultr/terraform-provider-vultr#714).
func toSource(r govultr.FirewallRule) portsnare.Source {
	address, err := netip.ParseAddr(r.Subnet)
	if err != nil || address.Is4() != (r.IPType == "v4") {
		return portsnare.Source{}
	}
	prefix := netip.PrefixFrom(address, r.SubnetSize).Masked()
	if r.Source != "" {
		if named, err := netip.ParsePrefix(r.Source); err != nil || named.Masked() != prefix {
			return portsnare.Source{}
		}
	}
	return prefix
}

func toMark(notes string) portsnare.Mark {
	text, ok := strings.CutPrefix(notes, notesPrefix)
	mark, err := portsnare.ParseMark(text)
	if !ok || err != nil {
		return ""
	}
	return mark
}

func fromOpening(o portsnare.Opening, mark portsnare.Mark) *govultr.FirewallRuleReq {
	ipType := "v6"
	if o.Source.Addr().Is4() {
		ipType = "v4"
	}
	return &govultr.FirewallRuleReq{
		IPType:     ipType,
		Protocol:   o.Range.Protocol.String(),
		Subnet:     o.Source.Addr().String(),
		SubnetSize: o.Source.Bits(),
		Port:       fromRange(o.Range),
		Notes:      notesPrefix + string(mark),
	}
}

func fromRange(r portsnare.PortRange) string {
	if r.From == r.To {
		return strconv.Itoa(int(r.From))
	}
	return strconv.Itoa(int(r.From)) + ":" + strconv.Itoa(int(r.To))
}
