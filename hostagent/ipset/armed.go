package ipset

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/localports"
)

// Armed returns what stands in the kernel, and knows nothing else: neither what was
// ordered nor what was armed before. Where nothing of ours stands, or its programs
// are there and have nothing to tell, it is the zero Standing.
func (b *Backend) Armed(ctx context.Context) (kernel.Standing, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.able(); err != nil {
		return kernel.Standing{}, err
	}
	have, err := b.readSets(ctx, func(set string) bool { return !isMemory(set) })
	if err != nil || len(have.sets) == 0 {
		return kernel.Standing{}, err
	}
	b.memory.rules = nil // look, and do not remember
	if have.tables, err = b.readTables(ctx)(); err != nil {
		return kernel.Standing{}, err
	}
	have.reserved, err = localports.Read(localports.Path)
	return have.standing(), err
}

func (s state) standing() kernel.Standing {
	ports := func(set string, protocol portsnare.Protocol) portsnare.PortSet {
		return localports.Of(s.contents[set].ports, protocol)
	}
	traps := ports(trapTCP, portsnare.TCP)
	hidden := ports(hiddenTCP, portsnare.TCP)
	return kernel.Standing{
		Armed:      s.hooked() && s.has(trapTCP, trapUDP, baitTCP, protectedTCP, hiddenTCP),
		Traps:      traps.Union(ports(trapUDP, portsnare.UDP)),
		Bait:       ports(baitTCP, portsnare.TCP),
		Hidden:     hidden,
		Public:     ports(protectedTCP, portsnare.TCP).Minus(hidden),
		Unreserved: traps.Minus(s.reserved),
	}
}

func (s state) has(sets ...string) bool {
	return !slices.ContainsFunc(sets, func(name string) bool { return !s.sets[name] })
}

// hooked reports whether the rules of every family are those that Set made.
func (s state) hooked() bool {
	for i, tables := range s.tables {
		if tables == nil { // the kernel does without the family
			continue
		}
		var rules []string
		for _, name := range slices.Sorted(maps.Keys(tables)) {
			rules = append(rules, tables[name].lines(name)...)
		}
		if !slices.Contains(s.contents[sums].nets, families[i].sum(rules)) {
			return false
		}
	}
	return true
}

// sum identifies the rules of a family, in the form of an entry of the set sums.
func (f family) sum(rules []string) string {
	return kernel.Sum(append([]string{f.tool}, rules...)).String()
}

// lines returns all that stands in a table.
func (t tableState) lines(name string) []string {
	all := append([]string{name}, slices.Sorted(slices.Values(t.jumps))...)
	for _, chain := range t.names() {
		all = append(append(all, chain), t.chains[chain]...)
	}
	return all
}

// sums returns the set that identifies the rules of all families.
func (p program) sums() set {
	s := set{name: sums, kind: "hash:ip family inet hashsize 64 maxelem 64", change: grows}
	for i, f := range families {
		var rules []string
		for _, t := range slices.SortedFunc(slices.Values(p.tables[i]), func(a, b table) int { return strings.Compare(a.name, b.name) }) {
			rules = append(rules, t.state().lines(t.name)...)
		}
		s.content.nets = append(s.content.nets, f.sum(rules))
	}
	slices.Sort(s.content.nets)
	return s
}

// state returns the table as it stands once it is made.
func (t table) state() tableState {
	chains := make(map[string][]string, len(t.chains))
	for _, c := range t.chains {
		chains[c.name] = c.rules
	}
	return tableState{chains, t.jumpRules()}
}
