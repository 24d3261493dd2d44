package placement

import (
	"math/rand/v2"

	"github.com/portsnare/portsnare"
)

// popular are the TCP ports that scanners try first, the surest first.
//
// The first 28 are what Nmap moves to the front of every scan that it orders
// itself (portlist.cc, random_port_cheat, Nmap 7.93; a test of
// cmd/internal/simulate finds the same 28 on the wire, in an order that differs
// from scan to scan). The others are added for their services'
// sake, by the IANA registry
// (https://www.iana.org/assignments/service-names-port-numbers, checked
// 2026-11-21): remote access (992, 2222, 3388, 5901, 5985), databases and
// caches (1433, 1521, 5432, 6379, 9200, 11211, 27017), web and administration
// (81, 8000, 8081, 8443, 9090, 10000), and printers, files and brokers (515,
// 548, 873, 1883, 2049, 9100).
var popular = [...]uint16{
	80, 23, 443, 21, 22, 25, 3389, 110, 445, 139, 143, 53, 135, 3306, 8080, 1723, 111, 995, 993, 5900, 1025, 587, 8888, 199, 1720, 113, 554, 256,
	992, 2222, 3388, 5901, 5985, 1433, 1521, 5432, 6379, 9200, 11211, 27017, 81, 8000, 8081, 8443, 9090, 10000, 515, 548, 873, 1883, 2049, 9100,
}

// first is how many of the popular ports come first with everybody.
const first = 28

// Popular returns the ports that scanners try first, the surest first. As many
// as leaders says are what nmap begins with, in random order.
func Popular() (ports []uint16, leaders int) { return popular[:], first }

// drawBait takes n of the popular ports, those kept included: from the first 28
// while there are any left, since no scanner passes by those.
func drawBait(rng *rand.Rand, n int, taken, kept portsnare.PortSet) portsnare.PortSet {
	var drawn portsnare.PortSet
	for _, tier := range [][]uint16{popular[:first], popular[first:]} {
		free := baitable(tier, taken)
		rng.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
		for _, keeping := range []bool{true, false} {
			for _, p := range free {
				if drawn.Len() < n && kept.Has(p) == keeping {
					drawn = drawn.Union(portsnare.PortSetOf(p))
				}
			}
		}
	}
	return drawn
}

// baitable returns the ports that may be bait.
func baitable(tier []uint16, taken portsnare.PortSet) []portsnare.Port {
	var free []portsnare.Port
	for _, number := range tier {
		if p := tcp(int(number)); !taken.Has(p) {
			free = append(free, p)
		}
	}
	return free
}
