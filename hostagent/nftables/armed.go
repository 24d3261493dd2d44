package nftables

import (
	"context"
	"net/netip"
	"slices"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/localports"
)

// Armed returns what stands in the kernel, and knows nothing else: neither what was
// ordered nor what was armed before. Where no table of ours stands it is the zero
// Standing.
func (b *Backend) Armed(ctx context.Context) (kernel.Standing, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.memory.known = nil // look, and do not remember
	have, err := b.inspect(ctx, func(string) bool { return false })
	if err != nil || !have.exists {
		return kernel.Standing{}, err
	}
	return have.standing(), nil
}

func (s state) standing() kernel.Standing {
	traps := s.ports[trapTCP]
	return kernel.Standing{
		Armed:      s.hooked(),
		Traps:      traps.Union(localports.Of(s.ports[trapUDP], portsnare.UDP)),
		Bait:       s.ports[baitTCP],
		Hidden:     s.ports[hiddenTCP],
		Public:     s.ports[publicTCP],
		Unreserved: traps.Minus(s.reserved),
	}
}

// hooked reports whether the chains are those that Set made.
func (s state) hooked() bool { return slices.Contains(s.nets[sums], sumOf(s.chains)) }

// sumOf identifies chains, in the form of an entry of the set sums.
func sumOf(chains map[string]chainState) netip.Prefix {
	var all []string
	for _, name := range names(chains) {
		all = append(append(all, name, chains[name].hook), chains[name].rules...)
	}
	return netip.PrefixFrom(kernel.Sum(all), 32)
}

// states returns the chains as they stand once they are made.
func states(chains []chain) map[string]chainState {
	all := make(map[string]chainState, len(chains))
	for _, c := range chains {
		all[c.name] = chainState{c.hook.form("filter", "accept"), c.digests()}
	}
	return all
}
