package kernel

import (
	"net/netip"
	"time"

	"github.com/portsnare/portsnare"
)

// What every kernel program logs, and how much of it.
const (
	// LogGroup is the NFLOG group that hits and bans are logged to.
	LogGroup = 5709
	// LogBytes of a packet are logged: the IP header, some IPv6 extension
	// headers, the ports.
	LogBytes = 128
	// LogRate and LogBurst bound what a flood of forged sources can make the
	// agent read: hits a second, and hits at once. Bans are not bounded.
	LogRate  = 1000
	LogBurst = 2000
)

// HeardTime is how long a service may take to answer a client that becomes a
// friend by the answer.
const HeardTime = time.Minute

// The times of delay. A client's kernel repeats its SYN after one second and from
// the same port (RFC 6298, 2.1), and later at growing distances. A SYN that comes
// again within HastyTime is a scanner's duplicate; one that comes later, within
// GreyTime of the first, is a retransmit. A kernel offers selective
// acknowledgement in its SYN (RFC 2018) and most raw scanners do not: without the
// offer a SYN has to wait for PlainTime.
const (
	HastyTime = 700 * time.Millisecond
	PlainTime = 2 * time.Second
	GreyTime  = 30 * time.Second
)

// How many entries the tables of the kernel hold for each family. Full tables
// take no more, and evict nothing.
const (
	MaxHits    = 131072
	MaxStrikes = 65536 // for each slot
	MaxHeard   = 65536
	MaxDelayed = 65536
	MaxCrowd   = 65536        // friends of public ports
	MaxFriends = 2 * MaxCrowd // leaves as much room for friends of hidden ports

	// MaxBans is the bound on the bans in force, for each family. Whoever keeps
	// bans takes it from here, so that no memory forgets what another enforces.
	// It is 65,536 because a full table then costs some 8 MB of kernel memory
	// and can be read in a second, while filling it takes an attacker 200,000
	// packets within the shortest ban. See the package documentation.
	MaxBans = 65536
)

// Slots returns how many tables of strikes a policy takes: the last strike makes
// the ban. There is one where a single strike bans, too, because delay asks who
// has a strike.
func Slots(p portsnare.Policy) int { return max(1, p.Strikes-1) }

// The families of addresses, as indices.
const (
	IPv4 = iota
	IPv6
	Families
)

// FamilyNames are the names of the families.
var FamilyNames = [Families]string{"IPv4", "IPv6"}

// FamilyOf returns the family of an address, which is not an IPv4 address mapped
// to IPv6.
func FamilyOf(addr netip.Addr) int {
	if addr.Is4() {
		return IPv4
	}
	return IPv6
}
