package nftables

import (
	"reflect"
	"slices"

	"github.com/mdlayher/netlink"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/host"
	"github.com/portsnare/portsnare/hostagent/localports"
)

// memory is what the backend knows of the kernel without looking again. None of
// it is needed: it saves the time of reading back.
type memory struct {
	// table stands at a generation of the rules, which every change of them
	// raises: while the generation stands, so does the table. It is nil if
	// nothing is known.
	table      *table
	generation uint32

	// own is what the set reserved held when Set ended, in case that somebody
	// deletes our table and with it the record.
	own portsnare.PortSet

	kernel host.Netfilter
}

// hasten carries out an order that differs from the last one in ports alone, and
// reports whether it did. It knows for certain that all else stands.
func (b *Backend) hasten(want table) bool {
	last := b.memory.table
	if last == nil || !want.differsInPorts(*last) {
		return false
	}
	generation, err := b.memory.kernel.Generation()
	if err != nil || generation != b.memory.generation {
		return false
	}
	have := last.recalled()
	if have.readReserved() != nil {
		return false
	}
	list, release := want.reserve(have)
	arm, settle := want.messages(have), release.messages()
	if len(arm) == 0 || b.memory.kernel.Commit(arm) != nil {
		return false
	}
	if list != nil && localports.Write(localports.Path, *list) != nil {
		return false
	}
	generation++
	if len(settle) > 0 {
		if b.memory.kernel.Commit(settle) != nil {
			return false
		}
		generation++
	}
	b.memory.keep(want, want.own(have), generation)
	return true
}

// messages returns what changes the sets of ports.
func (t table) messages(have state) (all []netlink.Message) {
	for _, s := range t.sets {
		all = append(all, s.refill(have.ports[s.name]).messages()...)
	}
	return all
}

// keep remembers what stands now, and what of ip_local_reserved_ports is ours.
func (m *memory) keep(t table, own portsnare.PortSet, generation uint32) {
	t.record(own)
	m.table, m.own, m.generation = &t, own, generation
}

// differsInPorts reports whether at most the sets of ports have to be changed on
// the way from another table.
func (t table) differsInPorts(other table) bool {
	sameBan := func(a, b portsnare.Ban) bool { return a.Source == b.Source && a.Until.Equal(b.Until) }
	sameFriend := func(a, b portsnare.Friend) bool {
		return a.Source == b.Source && a.Port == b.Port && a.Until.Equal(b.Until)
	}
	sameForm := func(a, b set) bool {
		return a.name == b.name && slices.Equal(a.lines, b.lines) && slices.Equal(a.nets, b.nets)
	}
	return reflect.DeepEqual(t.chains, other.chains) && slices.EqualFunc(t.sets, other.sets, sameForm) &&
		slices.EqualFunc(t.bans, other.bans, sameBan) && slices.EqualFunc(t.friends, other.friends, sameFriend)
}

// recalled returns the state in which the table stands.
func (t table) recalled() state {
	have := newState()
	have.exists = true
	for _, s := range t.sets {
		have.sets[s.name], have.ports[s.name], have.nets[s.name] = s.digest(), s.ports, s.nets
	}
	for _, c := range t.chains {
		have.chains[c.name] = chainState{c.hook.form("filter", "accept"), c.digests()}
	}
	return have
}
