package nftables

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/localports"
)

// state is what of ours stands in the kernel.
type state struct {
	exists bool                  // our table does
	sets   map[string]string     // digests by name; "" for a set without one
	chains map[string]chainState // by name
	ports  map[string]portsnare.PortSet
	nets   map[string][]netip.Prefix
	bans   map[netip.Prefix]banned
	known  kernel.Known // friends; empty unless they were asked for

	reserved portsnare.PortSet // ip_local_reserved_ports, ours or not
	lost     portsnare.PortSet // of reserved, what is ours although no set tells
}

// newState returns the state of a kernel that has nothing of ours.
func newState() state {
	return state{
		sets: map[string]string{}, chains: map[string]chainState{},
		ports: map[string]portsnare.PortSet{}, nets: map[string][]netip.Prefix{},
		bans: map[netip.Prefix]banned{}, known: kernel.Known{Until: map[kernel.Pair]time.Time{}},
	}
}

// banned is an entry of the ban sets.
type banned struct {
	until          time.Time
	packets, bytes uint64 // that met it
}

// chainState is a chain as it stands.
type chainState struct {
	hook  string   // where a base chain hangs in, and what it is
	rules []string // their digests; "" for a rule without one
}

// isBans, isFriends and isContent sort our sets by who fills them: the kernel
// and we, the same, and we alone. Hits and strikes are many, and the kernel's own.
func isBans(set string) bool { return strings.HasPrefix(set, ban) }
func isFriends(set string) bool {
	return strings.HasPrefix(set, friends) || strings.HasPrefix(set, crowd)
}
func isContent(set string) bool {
	return strings.HasPrefix(set, allow) || set == sums || slices.Contains(portSets, set)
}

// allowed returns the networks on the allow lists.
func (s state) allowed() (nets []netip.Prefix) {
	for _, f := range families {
		nets = append(nets, s.nets[f.set(allow)]...)
	}
	return nets
}

// bansUntil returns until when each source is banned.
func (s state) bansUntil() map[netip.Prefix]time.Time {
	until := make(map[netip.Prefix]time.Time, len(s.bans))
	for source, b := range s.bans {
		until[source] = b.until
	}
	return until
}

// readReserved reads the list of reserved ports.
func (s *state) readReserved() (err error) {
	s.reserved, err = localports.Read(localports.Path)
	return err
}

// foreignReserved returns what others put into ip_local_reserved_ports.
func (s state) foreignReserved() portsnare.PortSet {
	return s.reserved.Minus(s.ports[reserved].Union(s.lost))
}

// listing is what nft prints.
type listing struct {
	Nftables []struct {
		Table *struct{ Name string }
		Set   *struct {
			Table, Name, Comment string
			Elem                 []element
		}
		Chain *struct {
			Table, Name, Type, Hook, Policy string
			Prio                            int
		}
		Rule *struct{ Table, Chain, Comment string }
	}
}

// element is an entry of a set.
type element struct {
	Val     json.RawMessage
	Expires int64 // seconds
	Counter struct{ Packets, Bytes uint64 }
}

// UnmarshalJSON reads an entry with or without anything that goes with it.
func (e *element) UnmarshalJSON(text []byte) error {
	type plain element
	var full struct{ Elem *plain }
	if text[0] == '{' {
		if err := json.Unmarshal(text, &full); err != nil {
			return err
		}
	}
	if full.Elem == nil {
		e.Val = slices.Clone(text)
		return nil
	}
	*e = element(*full.Elem)
	return nil
}

// parseTable reads what our table is made of from a list of tables.
func (s *state) parseTable(text string) error {
	var l listing
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return err
	}
	for _, object := range l.Nftables {
		switch {
		case object.Table != nil && object.Table.Name == name:
			s.exists = true
		case object.Set != nil && object.Set.Table == name:
			s.sets[object.Set.Name] = object.Set.Comment
		case object.Chain != nil && object.Chain.Table == name:
			c := *object.Chain
			var h string
			if c.Hook != "" {
				h = hook{name: c.Hook, priority: c.Prio}.form(c.Type, c.Policy)
			}
			s.chains[c.Name] = chainState{hook: h}
		case object.Rule != nil && object.Rule.Table == name:
			c := s.chains[object.Rule.Chain]
			c.rules = append(c.rules, object.Rule.Comment)
			s.chains[object.Rule.Chain] = c
		}
	}
	return nil
}

// parseSet reads what one of our sets holds.
func (s *state) parseSet(text string, now time.Time) error {
	var l listing
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return err
	}
	for _, object := range l.Nftables {
		if object.Set == nil {
			continue
		}
		if err := s.take(object.Set.Name, object.Set.Elem, now); err != nil {
			return err
		}
	}
	return nil
}

// take takes up the entries of a set.
func (s *state) take(name string, elements []element, now time.Time) (err error) {
	var ports []portsnare.Port
	for _, e := range elements {
		until := now.Add(time.Duration(e.Expires) * time.Second)
		switch strings.TrimRight(name, "46") {
		case allow, sums:
			var net netip.Prefix
			net, err = e.net()
			s.nets[name] = append(s.nets[name], net)
		case ban:
			var addr netip.Addr
			err = json.Unmarshal(e.Val, &addr)
			s.bans[portsnare.BanPrefix(addr)] = banned{until, e.Counter.Packets, e.Counter.Bytes}
		case friends:
			var f kernel.Pair
			f, err = e.friend()
			s.known.Until[f] = until
		case crowd:
			s.known.Crowd[familyOfSet(name)] = len(elements)
		default:
			port := portsnare.Port{Protocol: portsnare.TCP}
			err = json.Unmarshal(e.Val, &port.Number)
			ports = append(ports, port)
		}
		if err != nil {
			return err
		}
	}
	s.ports[name] = portsnare.PortSetOf(ports...)
	slices.SortFunc(s.nets[name], netip.Prefix.Compare)
	return nil
}

// net reads an address or a prefix. A range, which we never add, is read as a
// prefix that is not valid.
func (e element) net() (netip.Prefix, error) {
	var addr netip.Addr
	if json.Unmarshal(e.Val, &addr) == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	var net struct {
		Prefix struct {
			Addr netip.Addr
			Len  int
		}
	}
	err := json.Unmarshal(e.Val, &net)
	return netip.PrefixFrom(net.Prefix.Addr, net.Prefix.Len), err
}

// friend reads {"concat": ["198.51.100.7", 22]}.
func (e element) friend() (kernel.Pair, error) {
	var pair struct{ Concat [2]json.RawMessage }
	var addr netip.Addr
	port := portsnare.Port{Protocol: portsnare.TCP} // the sets hold no others
	if err := json.Unmarshal(e.Val, &pair); err != nil {
		return kernel.Pair{}, err
	}
	if err := json.Unmarshal(pair.Concat[0], &addr); err != nil {
		return kernel.Pair{}, err
	}
	err := json.Unmarshal(pair.Concat[1], &port.Number)
	return kernel.Pair{Source: portsnare.BanPrefix(addr), Port: port}, err
}

// familyOfSet returns the index of the family that a set belongs to.
func familyOfSet(set string) int {
	return slices.IndexFunc(families[:], func(f family) bool { return strings.HasSuffix(set, f.digit) })
}

// names returns the keys of a map, sorted.
func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
