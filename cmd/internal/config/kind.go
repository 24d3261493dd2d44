package config

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/portsnare/portsnare/cmd/internal/clouds"
)

// Kind says what a kind of provider takes.
type Kind struct {
	Name     string
	Firewall string   // what `firewall` takes, in words; "" where there is none
	Keys     []string // beside kind
}

// Kinds returns every kind, in the order in which messages name them.
func Kinds() []Kind {
	var all []Kind
	for _, c := range clouds.All() {
		k := Kind{Name: c.Kind, Keys: keysOf(c)}
		if c.Firewall != nil {
			k.Firewall = c.Firewall.Want
		}
		all = append(all, k)
	}
	return all
}

// keysOf returns the keys of a provider's section beside kind.
func keysOf(c clouds.Cloud) []string {
	var names []string
	for _, k := range c.Keys {
		names = append(names, k.Name)
	}
	if c.CallTimeout > 0 {
		names = append(names, "timeout")
	}
	return names
}

var kind = form[string]{either(kinds()), func(s string) (string, error) {
	if !slices.Contains(kinds(), s) {
		return "", fmt.Errorf("%s: unknown kind%s", shown(s), meant(s, kinds()))
	}
	return s, nil
}}

func kinds() []string {
	var names []string
	for _, c := range clouds.All() {
		names = append(names, c.Kind)
	}
	return names
}

// settings are the keys that some cloud takes.
func settings() []key[Provider] {
	var keys []key[Provider]
	for _, k := range clouds.Keys() {
		doc := Key{Name: k.Name, Doc: k.Doc}
		switch k.Sort {
		case clouds.Name:
			keys = append(keys, one(doc, cloudName, func(p *Provider, v string) { p.set(k.Name, v) }))
		case clouds.Number:
			keys = append(keys, one(doc, number(1, 65535), func(p *Provider, v int) { p.set(k.Name, v) }))
		case clouds.Flag:
			keys = append(keys, one(doc, word([]string{"true", "false"}, true, false), func(p *Provider, v bool) { p.set(k.Name, v) }))
		}
	}
	return keys
}

func (p *Provider) set(key string, value any) {
	if p.Settings == nil {
		p.Settings = make(clouds.Settings)
	}
	p.Settings[key] = value
}

// idOf is the form of a firewall's id.
func idOf(f clouds.Form) form[string] {
	return formOf(f.Want, func(s string) (string, bool) { return s, f.Pattern.MatchString(s) })
}

// checkProvider refuses keys of other kinds, and names that this kind does not take.
func checkProvider(m mapping, p *Provider) {
	c, _ := clouds.Find(p.Kind)
	for _, name := range slices.Sorted(maps.Keys(m.values)) {
		k, takes := c.Takes(name)
		switch {
		case takes && k.Narrow != nil:
			idOf(*k.Narrow).read(m.values[name])
		case name != "kind" && !slices.Contains(keysOf(c), name):
			m.values[name].atKey().problemf("not for kind %s: want it with %s", p.Kind, either(takers(name)))
		}
	}
	if p.Timeout == 0 {
		p.Timeout = c.CallTimeout
	}
}

// takers returns the kinds that take a key.
func takers(name string) []string {
	var names []string
	for _, c := range clouds.All() {
		if slices.Contains(keysOf(c), name) {
			names = append(names, c.Kind)
		}
	}
	return names
}

// usualTimeout is how long a call may take where the configuration does not say, as
// the documents have it: all clouds agree on it.
func usualTimeout() time.Duration {
	var longest time.Duration
	for _, c := range clouds.All() {
		longest = max(longest, c.CallTimeout)
	}
	return longest
}

// readFirewall comes after readProvider, which stands before it in groupKeys.
func readFirewall(n node, g *Group) {
	c, known := clouds.Find(g.Provider.Kind)
	switch {
	case !known: // which has been said
		return
	case c.Firewall == nil:
		n.atKey().problemf("kind %s has no firewall: want none here", g.Provider.Kind)
		return
	}
	id, ok := idOf(*c.Firewall).read(n)
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
	switch c, known := clouds.Find(g.Provider.Kind); {
	case !known && g.Provider.Name == "": // else what is wrong with it has been said
		n.missing("firewall", anyFirewall)
	case known && c.Firewall != nil:
		n.missing("firewall", c.Firewall.Want)
	}
}

// anyFirewall is what is wanted where the cloud is not known.
const anyFirewall = "the id of a firewall, such as sg-0f3a9c1d2e4b5a687"
