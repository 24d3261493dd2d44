package nftables

import (
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/host"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/localports"
)

// memory is what the backend knows of the kernel without looking again: it saves
// the time of reading back, and makes up for a record that somebody destroys.
type memory struct {
	// known is all that stands but bans and friends, nil if nothing is known, at
	// a generation of the rules. Every change of them raises that by one, ours
	// here too: while it is the kernel's, all of it stands.
	known      *state
	generation uint32
	kernel     host.Netfilter

	// Of the last order that was carried out, if nobody has changed a rule since.
	bans    []portsnare.Ban
	friends []portsnare.Friend

	// own is what the set reserved held when Set ended, in case that somebody
	// deletes our table or empties the set.
	own portsnare.PortSet
}

// recall returns what is known, if it stands.
func (m *memory) recall() (have state, ok bool) {
	if m.known == nil {
		return have, false
	}
	generation, err := m.kernel.Generation()
	if err != nil || generation != m.generation {
		return have, false
	}
	have = *m.known
	have.bans, have.known = map[netip.Prefix]banned{}, kernel.Known{Until: map[kernel.Pair]time.Time{}}
	return have, true
}

// keep remembers what has been carried out, and what of ip_local_reserved_ports
// is ours: also what was ours before, if it could not be released.
func (b *Backend) keep(t table, before state) {
	m, own := &b.memory, t.own(before)
	if b.problems.Unreserved != nil {
		own = own.Union(before.ports[reserved])
	}
	t.record(own)
	m.own, m.bans, m.friends = own, t.bans, t.friends
	if m.known != nil { // else the kernel does not tell its generation
		*m.known = t.recalled()
	}
}

// hasten carries out an order that differs from the last one in ports alone, and
// reports whether it did.
func (b *Backend) hasten(want table) bool {
	have, ok := b.memory.recall()
	if !ok || b.problems.Unreserved != nil || have.readReserved() != nil || !b.memory.differInPorts(want, have) {
		return false
	}
	list, release := want.reserve(have)
	arm := want.messages(have)
	if len(arm) == 0 {
		return false
	}
	unreserved, err := b.memory.swap(arm, list, release.messages())
	if err != nil {
		b.memory.known = nil // who knows how far it came
		return false
	}
	b.problems.Unreserved = unreserved
	b.keep(want, have)
	return true
}

// swap makes the changes that arm, writes the list of reserved ports, and makes
// the changes that had to wait for that.
func (m *memory) swap(arm []netlink.Message, list *portsnare.PortSet, settle []netlink.Message) (unreserved, err error) {
	if err := m.commit(arm); err != nil {
		return nil, err
	}
	if list != nil {
		unreserved = kernel.Unreserved(localports.Replace(localports.Path, *list))
	}
	if unreserved != nil {
		return unreserved, nil
	}
	return nil, m.commit(settle)
}

// commit makes changes, if there are any.
func (m *memory) commit(changes []netlink.Message) error {
	if len(changes) == 0 {
		return nil
	}
	if err := m.kernel.Commit(changes); err != nil {
		return err
	}
	m.changed()
	return nil
}

// changed notes a transaction of ours. One that changed nothing after all leaves
// the generation as it was; if it is further on than by one, somebody else has
// changed something.
func (m *memory) changed() {
	generation, err := m.kernel.Generation()
	if err != nil || generation-m.generation > 1 {
		m.known = nil
	}
	m.generation = generation
}

// messages returns what changes the sets of ports.
func (t table) messages(have state) (all []netlink.Message) {
	for _, s := range t.sets {
		all = append(all, s.refill(have.ports[s.name]).messages()...)
	}
	return all
}

// differInPorts reports whether no more than the sets of ports has to be changed
// to get from have to want. Bans and friends are added, and never taken away.
func (m *memory) differInPorts(want table, have state) bool {
	var rest lines
	want.form(have, &rest)
	for _, s := range want.sets {
		s.allow(have, &rest)
	}
	return rest.Len() == 0 && (len(want.bans) == 0 || kernel.SameBans(want.bans, m.bans)) &&
		(len(want.friends) == 0 || kernel.SameFriends(want.friends, m.friends))
}

// recalled returns the state in which the table stands, but for bans and friends.
func (t table) recalled() state {
	have := newState()
	have.exists = true
	for _, s := range t.sets {
		have.sets[s.name], have.ports[s.name], have.nets[s.name] = s.digest(), s.ports, s.nets
	}
	have.chains = states(t.chains)
	return have
}
