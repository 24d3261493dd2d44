package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/portsnare/portsnare"
)

var host = form[string]{"names of hosts that run portsnare-agent", func(s string) (string, error) {
	if s == "self" {
		return "", fmt.Errorf("%s: not supported by this version: want the names of hosts that run portsnare-agent", s)
	}
	return portsnare.ParseName(s)
}}

func beginProvider(n node, name string, p *Provider) {
	checkName(n, name)
	p.Name = name
	n.file.providers[name] = p // groups may name it even if it is wrong in itself
}

func beginGroup(n node, name string, g *Group) {
	checkName(n, name)
	g.Name = name
}

// checkName checks the name that is the key of n.
func checkName(n node, name string) {
	if _, err := portsnare.ParseName(name); err != nil {
		n.atKey().problemf("%s", err)
	}
}

func readProvider(n node, g *Group) {
	text, ok := n.text("the name of a provider")
	known := slices.Sorted(maps.Keys(n.file.providers))
	if !ok || len(known) == 0 { // that there is none has been said
		return
	}
	g.Provider.Name = text // so that nothing else is said to be missing for want of it
	p, ok := n.file.providers[text]
	if !ok {
		n.problemf("%s: no such provider%s", shown(text), meant(text, known))
		return
	}
	g.Provider = *p
}

func addHost(n node, g *Group, name string) {
	if other := claim(n.file.hosts, name, g.Name); other != "" {
		n.problemf("%s is in group %s already: want each host once", name, other)
	}
	g.Hosts = append(g.Hosts, name)
}

// claim makes group the owner of a thing, or returns who owns it already.
func claim(owners map[string]string, thing, group string) (other string) {
	if other, taken := owners[thing]; taken {
		return other
	}
	owners[thing] = group
	return ""
}

// addPublic comes after the ports to protect have been read.
func addPublic(n node, g *Group, r portsnare.PortRange) {
	if g.Protect.Overlaps(r) {
		n.problemf("%s is under protect too: want it in one of them", r)
	}
	g.Public = with(g.Public, r)
}

func with(ports portsnare.PortSet, r portsnare.PortRange) portsnare.PortSet {
	return ports.Union(portsnare.NewPortSet(r))
}

func checkGroup(m mapping, g *Group) {
	if g.Protected().Empty() {
		m.missing("protect", "at least one port here or under public")
	}
	checkGrace(m, g)
	checkAllow(m, g)
	if t := g.Traps; t.Auto && !t.Limits.Suffice(g.Policy.Strikes) {
		m.at("traps", "policy").problemf("at most %d ports exposed and at least %d forged packets a victim leave too few traps for %d strikes",
			t.Limits.Exposed, t.Limits.Forged, g.Policy.Strikes)
	}
}

// checkTraps also finds out whether a class of traps is spelt out.
func checkTraps(m mapping, t *Traps) {
	t.Auto = m.node == m.at("neighbours", "radius", "bait", "secret")
	for _, name := range []string{"exposed", "forged"} {
		if n, set := m.values[name]; set && !t.Auto {
			n.problemf("a limit of what is chosen automatically: want it without neighbours, radius, bait and secret")
		}
	}
	if t.Neighbours >= 2*t.Radius {
		m.at("neighbours", "radius").problemf("%d neighbours within %d ports to either side can be guessed: want fewer than %d", t.Neighbours, t.Radius, 2*t.Radius)
	}
	if t.Neighbours == 0 && t.Secret.Openings == 0 {
		m.at("secret").problemf("bait alone never bans: want neighbours or secret openings")
	}
}

func checkSecret(m mapping, s *Secret) {
	if s.Ports < s.Openings {
		m.at("ports", "openings").problemf("%d ports cannot fill %d openings: want at least as many ports", s.Ports, s.Openings)
	}
}
