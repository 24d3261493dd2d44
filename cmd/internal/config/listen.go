package config

import (
	"net"
	"net/netip"
	"strings"
)

// checkListeners refuses two listeners on one address and port.
func checkListeners(m mapping, c *Config) {
	if c.Metrics != "" && collide(c.Metrics, c.Link.Listen) {
		m.at("metrics").problemf("%s: collides with link.listen, %s: want another port", c.Metrics, c.Link.Listen)
	}
}

// collide reports whether nobody can listen on both addresses. Names other than
// localhost are only compared, as they are looked up when the controller starts.
func collide(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || strings.TrimLeft(portA, "0") != strings.TrimLeft(portB, "0") {
		return false
	}
	if wildcard(hostA) || wildcard(hostB) || strings.EqualFold(hostA, hostB) {
		return true
	}
	for _, a := range addresses(hostA) {
		for _, b := range addresses(hostB) {
			if a == b {
				return true
			}
		}
	}
	return false
}

// wildcard reports whether Go listens on every address, of both families, for host
// (package net, Listen).
func wildcard(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.Unmap().IsUnspecified()
}

// addresses returns those that host is, as far as that is known without asking.
func addresses(host string) []netip.Addr {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}
	}
	if strings.EqualFold(host, "localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return nil
}
