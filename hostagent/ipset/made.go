package ipset

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/host"
)

// places are the chains of iptables-nft, and the tables, that come into being
// with our rules where they are missing. No program of iptables removes a table.
var places = []host.Chain{
	{Family: unix.NFPROTO_IPV4, Table: "raw"},
	{Family: unix.NFPROTO_IPV4, Table: "raw", Name: "PREROUTING"},
	{Family: unix.NFPROTO_IPV4, Table: "mangle"},
	{Family: unix.NFPROTO_IPV4, Table: "mangle", Name: "PREROUTING"},
	{Family: unix.NFPROTO_IPV4, Table: "mangle", Name: "POSTROUTING"},
	{Family: unix.NFPROTO_IPV6, Table: "raw"},
	{Family: unix.NFPROTO_IPV6, Table: "raw", Name: "PREROUTING"},
	{Family: unix.NFPROTO_IPV6, Table: "mangle"},
	{Family: unix.NFPROTO_IPV6, Table: "mangle", Name: "PREROUTING"},
	{Family: unix.NFPROTO_IPV6, Table: "mangle", Name: "POSTROUTING"},
}

// numberOf returns the entry that stands for the i-th place in the set made.
func numberOf(i int) portsnare.Port {
	return portsnare.Port{Protocol: portsnare.TCP, Number: uint16(i + 1)}
}

// readMissing reads which places do not exist; none of iptables-legacy, whose
// tables nobody can remove.
func (b *Backend) readMissing(ctx context.Context, have *state) error {
	if _, native := b.generation(ctx); !native {
		return nil
	}
	there, err := b.memory.kernel.Chains()
	if err != nil {
		return err
	}
	var missing []portsnare.Port
	for i, place := range places {
		if _, ok := there[place]; !ok {
			missing = append(missing, numberOf(i))
		}
	}
	have.missing = portsnare.PortSetOf(missing...)
	return nil
}

// claim completes the wanted sets for the places that are ours to remove.
func (p program) claim(have state) {
	for i := range p.sets {
		if p.sets[i].name == made {
			p.sets[i].content.ports = have.contents[made].ports.Union(have.missing)
		}
	}
}

// unmake removes the places that we have made, and in a table of ours whatever
// else iptables has made there, unless somebody uses them.
func (b *Backend) unmake(ours portsnare.PortSet) error {
	if ours.Empty() {
		return nil
	}
	idle, err := b.memory.kernel.Chains()
	if err != nil {
		return fmt.Errorf("remove the tables that were made for us: %w", err)
	}
	for i, place := range places {
		if place.Name != "" {
			continue
		}
		remove := removable(i, ours, idle)
		if len(remove) == 0 {
			continue
		}
		err := b.memory.kernel.Remove(remove)
		if err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove the tables that were made for us: %w", err)
		}
	}
	return nil
}

// removable returns what can go of the table that is the i-th place: idle chains
// that are ours, and if all others are idle too the table itself, if it is ours.
func removable(i int, ours portsnare.PortSet, idle map[host.Chain]bool) (remove []host.Chain) {
	table := places[i]
	if _, there := idle[table]; !there {
		return nil
	}
	var rest []host.Chain
	for chain, isIdle := range idle {
		n := slices.Index(places, chain)
		switch {
		case chain.Family != table.Family || chain.Table != table.Table || chain == table:
		case isIdle && n >= 0 && ours.Has(numberOf(n)):
			remove = append(remove, chain)
		default:
			rest = append(rest, chain)
		}
	}
	busy := func(c host.Chain) bool { return !idle[c] }
	if ours.Has(numberOf(i)) && !slices.ContainsFunc(rest, busy) {
		remove = append(append(remove, rest...), table)
	}
	return remove
}
