package nftables

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/localports"
)

// name is that of our table, ours that and its family, as nft takes them.
const (
	name = "portsnare"
	ours = "inet " + name
)

// The sets of ports.
const (
	trapTCP   = "trap_tcp"
	trapUDP   = "trap_udp"
	baitTCP   = "bait_tcp" // traps that do not fire; those of UDP never do
	hiddenTCP = "hidden_tcp"
	publicTCP = "public_tcp"
	reserved  = "reserved" // what we added to ip_local_reserved_ports
)

// sums is the set that holds what identifies the chains.
const sums = "sums"

var portSets = []string{trapTCP, trapUDP, baitTCP, hiddenTCP, publicTCP, reserved}

// The sets that exist once for each family, see [family.set].
const (
	allow   = "allow"
	ban     = "ban"
	hit     = "hit" // (source, protocol, port)
	strike  = "strike"
	heard   = "heard"  // (source, port) of a conversation in which the client spoke
	friends = "friend" // (source, port)
	crowd   = "crowd"  // those of them that are friends of public ports
	grey    = "grey"   // (address, source port, port) of a delayed SYN
	hasty   = "hasty"
)

// full begins the names of the sets that hold the families in which a memory of
// a kind had no room for somebody lately.
const full = "full_"

// bounded are the kinds of which there is such a set. Who finds no room in hasty
// finds none in grey.
var bounded = []string{hit, strike, ban, heard, friends, crowd, grey}

const allPorts = 65536

// family is what differs between IPv4 and IPv6.
type family struct {
	digit string // ends the names of its sets and chains
	ip    string // its name in a rule
	mask  string // makes a source of an address
	bits  int    // of an address
}

var families = [...]family{
	{"4", "ip", "", 32},
	{"6", "ip6", " & ffff:ffff:ffff:ffff::", 128},
}

// familyOf returns the family of an address.
func familyOf(addr netip.Addr) family {
	if addr.Is4() {
		return families[0]
	}
	return families[1]
}

// set returns the name of the family's set, or chain, of a kind.
func (f family) set(kind string) string { return kind + f.digit }

// slot returns the name of the family's i-th set of strikes, from 1.
func (f family) slot(i int) string { return f.set(strike) + "_" + strconv.Itoa(i) }

// set is a set as it is wanted. What it holds is the kernel's business, unless
// it is a set of ports or networks.
type set struct {
	name  string
	lines []string // of its declaration
	ports portsnare.PortSet
	nets  []netip.Prefix
}

// digest identifies the declaration.
func (s set) digest() string { return digest(s.lines...) }

// chain is a chain as it is wanted. A base chain has a hook.
type chain struct {
	name  string
	hook  hook
	rules []string
}

// digests identifies the rules.
func (c chain) digests() []string {
	all := make([]string, len(c.rules))
	for i, rule := range c.rules {
		all[i] = digest(rule)
	}
	return all
}

// digest identifies a text by 8 hex digits.
func digest(lines ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:4])
}

// table is the wanted state of the kernel.
type table struct {
	sets    []set
	chains  []chain
	allow   []netip.Prefix
	bans    []portsnare.Ban
	friends []portsnare.Friend
	public  portsnare.PortSet
	traps   portsnare.PortSet // as numbers

	spare int // room for bans and friends that is left free
}

// render says what an order means in the language of the kernel, on a host that
// forwards packets of some families.
func render(o kernel.State, opts Options, forwards [len(families)]bool) table {
	t := table{
		allow: kernel.Allowed(o.Allow), bans: o.Bans, friends: o.Friends,
		public: o.Public, traps: localports.Numbers(o.Traps.Ports()),
		chains: shared(o, forwards),
	}
	t.sets = []set{
		ports(trapTCP, o.Traps.Ports().Of(portsnare.TCP)),
		ports(trapUDP, o.Traps.Ports().Of(portsnare.UDP)),
		ports(baitTCP, o.Traps.Bait.Of(portsnare.TCP)),
		ports(hiddenTCP, o.Hidden().Of(portsnare.TCP)),
		ports(publicTCP, o.Public.Of(portsnare.TCP)),
		ports(reserved, portsnare.PortSet{}), // see reserve
	}
	for _, kind := range bounded {
		t.sets = append(t.sets, set{name: full + kind, lines: declare("nf_proto", len(families), "dynamic,timeout")})
	}
	for i, f := range families {
		t.sets = append(t.sets, f.sets(kernel.Slots(o.Policy), t.allow, opts)...)
		t.chains = append(t.chains, f.chains(o, opts, forwards[i])...)
	}
	t.sets = append(t.sets, set{name: sums, lines: declare("ipv4_addr", 0, "interval"), nets: []netip.Prefix{sumOf(states(t.chains))}})
	return t
}

// ports returns a set of ports. One that was not dynamic would become a bitmap,
// which the kernel takes a second to fill with 10,000 (6.18, 2026-11-21).
func ports(name string, ports portsnare.PortSet) set {
	return set{name: name, lines: declare("inet_service", allPorts, "dynamic"), ports: localports.Numbers(ports)}
}

// sets returns the family's sets. No time-out is part of a set: the rules state
// it with each entry that they add, so it can change at any time.
func (f family) sets(slots int, allowed []netip.Prefix, opts Options) []set {
	addr := f.addr()
	memory := func(kind, key string, size int) set {
		return set{name: f.set(kind), lines: declare(key, size, "dynamic,timeout")}
	}
	sets := []set{
		{name: f.set(allow), lines: declare(addr, 0, "interval"), nets: f.own(allowed)},
		f.bans(),
		memory(hit, addr+" . inet_proto . inet_service", opts.maxHits),
		memory(heard, addr+" . inet_service", kernel.MaxHeard),
		memory(friends, addr+" . inet_service", kernel.MaxFriends),
		memory(crowd, addr+" . inet_service", kernel.MaxCrowd),
		memory(grey, addr+" . inet_service . inet_service", kernel.MaxDelayed),
		memory(hasty, addr+" . inet_service . inet_service", kernel.MaxDelayed),
	}
	for i := 1; i <= slots; i++ {
		sets = append(sets, set{name: f.slot(i), lines: declare(addr, kernel.MaxStrikes, "dynamic,timeout")})
	}
	return sets
}

// bans returns the family's set of bans, which holds [kernel.MaxBans] and no more.
// One that is full takes nobody, and evicts nobody. An entry takes about 64 bytes in
// IPv4 and 96 in IPv6.
func (f family) bans() set {
	return set{name: f.set(ban), lines: append(declare(f.addr(), kernel.MaxBans, "dynamic,timeout"), "counter")}
}

func (f family) addr() string { return "ipv" + f.digit + "_addr" }

// declare returns the lines of a set's declaration. Size 0 is any.
func declare(key string, size int, flags string) []string {
	lines := []string{"type " + key}
	if size > 0 {
		lines = append(lines, "size "+strconv.Itoa(size))
	}
	return append(lines, "flags "+flags)
}

// own returns the family's prefixes.
func (f family) own(prefixes []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool { return p.Addr().BitLen() != f.bits })
}
