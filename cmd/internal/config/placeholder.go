package config

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/portsnare/portsnare"
)

// exampleOwner is the owner in the example, which `portsnare init` replaces.
const exampleOwner = "00000000"

var owner = form[string]{"a name of 1 to 63 lower-case letters, digits and hyphens", portsnare.ParseName}

// readOwner refuses the owner of the example, which is nobody's own.
func readOwner(n node, c *Config) {
	name, ok := owner.read(n)
	if ok && name == exampleOwner {
		n.problemf("%s: an example value: want a name that no other installation has, such as portsnare init makes", name)
	}
	c.Owner = name
}

// refuseExampleHost refuses names that exist for examples only (RFC 2606, RFC 6761).
func refuseExampleHost(n node, hostport string) {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if documentation(addr) {
			n.warnf("%s is reserved for documentation (RFC 5737, RFC 3849): no host has it", addr)
		}
		return
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	if len(labels) > 1 {
		last = labels[len(labels)-2] + "." + last
	}
	reserved := []string{"example.com", "example.net", "example.org"}
	if slices.Contains(reserved, last) || slices.Contains([]string{"example", "invalid"}, labels[len(labels)-1]) {
		n.problemf("%s: an example value: want a name or address of this machine that agents can reach", host)
	}
}

// refuseExampleFirewall refuses the ids with which messages explain what an id is.
func refuseExampleFirewall(n node, id string) bool {
	for _, k := range Kinds() {
		if _, example, ok := strings.Cut(k.Firewall, "such as "); ok && id == example {
			n.problemf("%s: an example value: want the id of your own firewall", id)
			return true
		}
	}
	return false
}
