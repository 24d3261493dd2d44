package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// The kinds of provider.
const (
	AWS          = "aws"
	DigitalOcean = "digitalocean"
	Vultr        = "vultr"
	OpenStack    = "openstack"
	None         = "none" // no cloud firewall: only the hosts filter
)

// cloud is what the format knows of one kind of provider.
type cloud struct {
	firewall *form[string] // of a firewall's id; nil where there is no firewall
	keys     []string      // that it takes, besides kind
}

var clouds = map[string]cloud{
	AWS:          {&securityGroup, []string{"region", "rules", "timeout"}},
	DigitalOcean: {&cloudFirewall, []string{"replace", "timeout"}},
	Vultr:        {&firewallGroup, []string{"timeout"}},
	OpenStack:    {&projectGroup, []string{"cloud", "region", "rules", "timeout"}},
	None:         {},
}

// Kind says what a kind of provider takes.
type Kind struct {
	Name     string
	Firewall string   // what `firewall` takes, in words; "" where there is none
	Keys     []string // beside kind
}

// Kinds returns every kind, in the order in which messages name them.
func Kinds() []Kind {
	var all []Kind
	for _, name := range kinds() {
		k := Kind{Name: name, Keys: clouds[name].keys}
		if f := clouds[name].firewall; f != nil {
			k.Firewall = f.want
		}
		all = append(all, k)
	}
	return all
}

var kind = form[string]{either(kinds()), func(s string) (string, error) {
	if !slices.Contains(kinds(), s) {
		return "", fmt.Errorf("%s: unknown kind%s", shown(s), meant(s, kinds()))
	}
	return s, nil
}}

func kinds() []string { return []string{AWS, DigitalOcean, Vultr, OpenStack, None} }

// securityGroup is the id of one at AWS: 8 hexadecimal digits or, since 2018, 17
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html).
var securityGroup = formOf("a security group's id such as sg-0f3a9c1d2e4b5a687", func(s string) (string, bool) {
	return s, securityGroupPattern.MatchString(s)
})

// The ids of all others are UUIDs.
var (
	cloudFirewall = uuid("a Cloud Firewall's id such as bb4b2611-3d72-467b-8602-280330ecd65c")
	firewallGroup = uuid("a firewall group's id such as cb676a46-66fd-4dfb-b839-443f2e6c0b60")
	projectGroup  = uuid("a security group's id such as b985643f-3424-4e67-9768-8f8e3e9f0112")
)

func uuid(want string) form[string] {
	return formOf(want, func(s string) (string, bool) { return s, uuidPattern.MatchString(s) })
}

var (
	regionPattern        = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	securityGroupPattern = regexp.MustCompile(`^sg-[0-9a-f]{8}([0-9a-f]{9})?$`)
	uuidPattern          = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// awsRegion: the others name regions as they like.
var awsRegion = formOf("a region such as ap-northeast-1", func(s string) (string, bool) {
	return s, regionPattern.MatchString(s)
})

// checkProvider refuses keys of other kinds.
func checkProvider(m mapping, p *Provider) {
	for _, name := range slices.Sorted(maps.Keys(m.values)) {
		if name == "kind" || slices.Contains(clouds[p.Kind].keys, name) {
			continue
		}
		m.values[name].atKey().problemf("not for kind %s: want it with %s", p.Kind, either(takers(name)))
	}
	if region, set := m.values["region"]; set && p.Kind == AWS {
		awsRegion.read(region)
	}
	if p.Timeout == 0 {
		p.Timeout = CallTimeout(p.Kind)
	}
}

// takers returns the kinds that take a key.
func takers(name string) []string {
	return slices.DeleteFunc(kinds(), func(k string) bool { return !slices.Contains(clouds[k].keys, name) })
}

// readFirewall comes after readProvider, which stands before it in groupKeys.
func readFirewall(n node, g *Group) {
	c, known := clouds[g.Provider.Kind]
	switch {
	case !known: // which has been said
		return
	case c.firewall == nil:
		n.atKey().problemf("kind %s has no firewall: want none here", g.Provider.Kind)
		return
	}
	id, ok := c.firewall.read(n)
	if !ok || refuseExampleFirewall(n, id) {
		return
	}
	g.Firewall = id
	if other := claim(n.file.firewalls, g.Provider.Name+" "+id, g.Name); other != "" {
		n.problemf("%s belongs to group %s already: want a firewall for each group", id, other)
	}
}

// missFirewall is for a group without the key.
func missFirewall(n node, g *Group) {
	switch c, known := clouds[g.Provider.Kind]; {
	case !known && g.Provider.Name == "": // else what is wrong with it has been said
		n.missing("firewall", anyFirewall)
	case known && c.firewall != nil:
		n.missing("firewall", c.firewall.want)
	}
}

// anyFirewall is what is wanted where the cloud is not known.
const anyFirewall = "the id of a firewall, such as sg-0f3a9c1d2e4b5a687"
