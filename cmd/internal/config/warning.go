package config

import (
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/placement"
)

// warnf records that the value is allowed and probably not meant.
func (n node) warnf(format string, args ...any) {
	at := n.position()
	n.file.warnings = append(n.file.warnings, n.file.newProblem(at, n.path, fmt.Sprintf(format, args...)))
}

// Local ports that Linux gives to outgoing connections, unless somebody has set
// net.ipv4.ip_local_port_range
// (https://docs.kernel.org/networking/ip-sysctl.html, checked 2026-11-27).
const (
	firstEphemeral = 32768
	lastEphemeral  = 60999
)

// addProtect adds a port to hide.
func addProtect(n node, g *Group, r portsnare.PortRange) {
	g.Protect = with(g.Protect, r)
	popular, leaders := placement.Popular()
	switch {
	case r.Protocol == portsnare.TCP && slices.Contains(popular[:leaders], r.From):
		n.warnf("%s is among the %d ports that scanners try first, where hardly any trap can ban: give the service another port, or list it under public", r, leaders)
	case firstEphemeral <= r.From && r.From <= lastEphemeral:
		n.warnf("%s is among the ports %d-%d, which Linux gives to outgoing connections by default: one of them may hold it when the service starts. "+
			"Add it to net.ipv4.ip_local_reserved_ports on the hosts, or give the service a port outside", r, firstEphemeral, lastEphemeral)
	}
}

// Networks with shorter prefixes than these are no longer somebody's own.
const (
	shortestAllow4 = 8
	shortestAllow6 = 16
)

// addAllow adds a source that is never banned.
func addAllow(n node, g *Group, p netip.Prefix) {
	shortest := shortestAllow4
	if p.Addr().Is6() {
		shortest = shortestAllow6
	}
	switch {
	case documentation(p.Addr()):
		n.warnf("%s is reserved for documentation (RFC 5737, RFC 3849): no host has it", p)
	case p.Bits() == 0:
		n.problemf("%s: this is the whole internet, so nobody would be banned: want the networks that you trust", p)
	case p.Bits() < shortest:
		n.warnf("%s: no scanner in this network, which is %s of all addresses, is ever banned", p, fraction(p))
	}
	g.Allow = append(g.Allow, p)
}

// documentation reports whether an address is in a network that only examples use.
func documentation(addr netip.Addr) bool {
	return slices.ContainsFunc([]string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"},
		func(network string) bool { return netip.MustParsePrefix(network).Contains(addr) })
}

// fraction returns such as "1/4".
func fraction(p netip.Prefix) string { return fmt.Sprintf("1/%d", 1<<p.Bits()) }

// checkAllow refuses networks that together are the whole internet.
func checkAllow(m mapping, g *Group) {
	for _, family := range []struct {
		name string
		six  bool
	}{{"IPv4", false}, {"IPv6", true}} {
		if covered(g.Allow, family.six) >= 1 {
			m.at("allow").problemf("these networks together are the whole %s internet, so nobody there would be banned: want the networks that you trust", family.name)
		}
	}
}

// covered returns the share of a family's addresses that lie in one of the
// prefixes.
func covered(prefixes []netip.Prefix, six bool) float64 {
	sum := 0.0
	for i, p := range prefixes {
		inside := func(j int, q netip.Prefix) bool { // the first of two equal ones counts
			return q.Bits() <= p.Bits() && q.Contains(p.Addr()) && (q != p || j < i)
		}
		counted := p.Addr().Is6() != six
		for j, q := range prefixes {
			counted = counted || inside(j, q)
		}
		if !counted {
			sum += math.Exp2(-float64(p.Bits()))
		}
	}
	return sum
}
