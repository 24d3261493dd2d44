package ipset

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/localports"
)

// prefix begins the name of every set of ours.
const prefix = "portsnare_"

// The sets of ports. Those of networks, hits, strikes and bans exist once for
// each family, see [family.set].
const (
	trapTCP      = prefix + "trap_tcp"
	trapUDP      = prefix + "trap_udp"
	baitTCP      = prefix + "bait_tcp" // traps that do not fire; those of UDP never do
	protectedTCP = prefix + "protected_tcp"
	hiddenTCP    = prefix + "hidden_tcp" // protected, and not known to the world
	// reserved holds what stood in ip_local_reserved_ports before us although
	// it is a trap, so that it is left there when the trap goes.
	reserved = prefix + "reserved"
	// owed holds what is ours in ip_local_reserved_ports although it is no trap any
	// more, because the list could not be written when the trap went.
	owed = prefix + "owed"
	made = prefix + "made" // which of the places were not there before us
	sums = prefix + "sums" // what identifies the rules of each family
)

// The kinds of the sets of a family that several files speak of.
const (
	friends = "friend" // (source, port)
	crowd   = "crowd"  // those of them that are friends of public ports
	heard   = "heard"  // (source, port): data came lately
	spoken  = "spoken" // sources to which a published port said something lately
	plain   = "plain"  // (address, source port) of a delayed SYN that offered no SACK
)

// How much the kernel remembers, in hash buckets for each family. A packet
// cannot make a hash grow, and a bucket holds 12 entries at most (ipset 7.17,
// bucketsize), so buckets are what bounds memory: 16 MB of hits in a flood. A
// full bucket refuses at once; a set that has reached its maxelem first looks
// for entries that ran out, 25 microseconds a packet, so it must never come to
// that (both measured on 2026-11-21, kernel 6.18), but for bans: their bound is
// exact, and banRate bounds what looking costs.
const (
	perBucket    = 12
	load         = 8             // entries for each bucket where a set is as full as it is meant to be
	neverReached = 2 * perBucket // entries for each bucket
	banLoad      = 4             // so that no bucket of bans is full before the set is
)

// discard is in the hits and friends of IPv6 for good (RFC 6666: no packet comes from
// there). It makes the SET target add networks of this length.
const discard = "100::/64,tcp:0"

// family is what differs between IPv4 and IPv6.
type family struct {
	digit   string // ends the names of its sets
	tool    string // begins the names of its programs
	hits    string // type of a set of (source, port)
	exact   string // type of a set of (address, port)
	sources string // type of a set of sources
	nets    string // type of a set of networks
	bits    int    // of an address
}

var families = [...]family{
	{"4", "iptables", "hash:ip,port family inet", "hash:ip,port family inet", "hash:ip family inet", "hash:net family inet", 32},
	{"6", "ip6tables", "hash:net,port family inet6", "hash:ip,port family inet6", "hash:ip family inet6 netmask 64", "hash:net family inet6", 128},
}

// absent reports whether the kernel was told to do without the family.
func (f family) absent() bool {
	_, err := os.Stat("/proc/sys/net/ipv" + f.digit)
	return errors.Is(err, fs.ErrNotExist)
}

// familyOf returns the family of an address.
func familyOf(addr netip.Addr) family {
	if addr.Is4() {
		return families[0]
	}
	return families[1]
}

// set returns the name of the family's set of a kind: "allow", "hit", "ban".
func (f family) set(kind string) string { return prefix + kind + f.digit }

// slot returns the name of the family's i-th set of strikes, from 1.
func (f family) slot(i int) string { return f.set("strike") + "_" + strconv.Itoa(i) }

// set is a set as it is wanted.
type set struct {
	name    string
	kind    string // type and options, as "ipset create" takes them
	change  change
	content content
}

// change is how a set gets from one content to the next.
type change int

const (
	remembers change = iota // its content is the kernel's business
	grows                   // wanted entries come before the traps are swapped, the others go after
	swapped                 // as a whole
)

// program is the wanted state of the kernel.
type program struct {
	sets   []set
	tables [len(families)][]table
	allow  []netip.Prefix
	bans   []portsnare.Ban

	friends []portsnare.Friend
	public  portsnare.PortSet

	spare int // room for bans and friends that is left free
}

// render says what an order means in the language of the kernel, on a host that
// forwards packets of some families.
func render(o kernel.State, opts Options, forwards [len(families)]bool) program {
	p := program{allow: kernel.Allowed(o.Allow), bans: o.Bans, friends: o.Friends, public: o.Public}
	p.sets = portSets(o)
	for i, f := range families {
		p.sets = append(p.sets, f.sets(kernel.Slots(o.Policy), p.allow, opts)...)
		p.tables[i] = f.tables(o, opts, forwards[i])
	}
	p.sets = append(p.sets, p.sums())
	return p
}

func portSets(o kernel.State) []set {
	ports := func(name string, how change, all portsnare.PortSet, protocol portsnare.Protocol) set {
		return set{name, "bitmap:port range 0-65535", how, content{ports: localports.Numbers(all.Of(protocol))}}
	}
	return []set{
		ports(trapTCP, swapped, o.Traps.Ports(), portsnare.TCP),
		ports(trapUDP, swapped, o.Traps.Ports(), portsnare.UDP),
		ports(baitTCP, grows, o.Traps.Bait, portsnare.TCP),
		ports(protectedTCP, grows, o.Protected, portsnare.TCP),
		ports(hiddenTCP, grows, o.Hidden(), portsnare.TCP),
		ports(reserved, grows, portsnare.PortSet{}, portsnare.TCP), // see reserve
		ports(owed, remembers, portsnare.PortSet{}, portsnare.TCP), // see reserve
		ports(made, grows, portsnare.PortSet{}, portsnare.TCP),     // see claim
	}
}

// traps returns the ports of all traps, without a protocol.
func (p program) traps() (all portsnare.PortSet) {
	for _, s := range p.sets {
		if s.change == swapped {
			all = all.Union(s.content.ports)
		}
	}
	return all
}

// content returns the ports that a set is to hold.
func (p program) content(name string) (ports portsnare.PortSet) {
	for _, s := range p.sets {
		if s.name == name {
			ports = s.content.ports
		}
	}
	return ports
}

// sets returns the family's sets for some slots of strikes. No time-out is part of a set:
// the rules state it with each entry that they add, so it can change at any time.
func (f family) sets(slots int, allow []netip.Prefix, opts Options) []set {
	sets := []set{
		{f.set("allow"), f.nets, grows, content{nets: f.entries(allow)}},
		remembering(f.set("hit"), f.hits, opts.maxHits),
		f.bans(),
		remembering(f.set(friends), f.hits, kernel.MaxFriends),
		remembering(f.set(crowd), f.hits, kernel.MaxCrowd),
		remembering(f.set(heard), f.exact, kernel.MaxHeard),
		remembering(f.set(spoken), f.sources, kernel.MaxHeard),
		remembering(f.set(plain), f.exact, kernel.MaxDelayed),
	}
	for i := 1; i <= slots; i++ {
		sets = append(sets, remembering(f.slot(i), f.sources, kernel.MaxStrikes))
	}
	return sets
}

// bans returns the family's set of bans, which holds [kernel.MaxBans] and no more.
func (f family) bans() set {
	return set{name: f.set("ban"), kind: fmt.Sprintf("%s hashsize %d maxelem %d timeout 0 counters", f.sources, kernel.MaxBans/banLoad, kernel.MaxBans)}
}

// remembering returns a set that remembers about so many entries for a time.
func remembering(name, kind string, entries int) set {
	buckets := entries / load
	return set{name: name, kind: fmt.Sprintf("%s hashsize %d maxelem %d timeout 0", kind, buckets, buckets*neverReached)}
}

// entries returns the family's prefixes as ipset prints them, sorted. It knows
// none that takes in every address, but the halves.
func (f family) entries(prefixes []netip.Prefix) []string {
	var nets []string
	for _, p := range prefixes {
		switch {
		case p.Addr().BitLen() != f.bits:
		case p.Bits() == 0:
			half := p.Addr().AsSlice()
			half[0] = 0x80
			upper, _ := netip.AddrFromSlice(half)
			nets = append(nets, netip.PrefixFrom(p.Addr(), 1).String(), netip.PrefixFrom(upper, 1).String())
		case p.IsSingleIP():
			nets = append(nets, p.Addr().String())
		default:
			nets = append(nets, p.String())
		}
	}
	slices.Sort(nets)
	return slices.Compact(nets)
}
