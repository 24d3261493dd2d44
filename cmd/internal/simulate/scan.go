package simulate

import (
	"math/rand/v2"
	"slices"

	"github.com/portsnare/portsnare/rotator/placement"
)

const ports = 65535

// Scan is how somebody looks for the hidden port.
type Scan struct {
	Name    string
	Order   Order
	Span    int     // ports of a sweep or of the neighbourhood scanned
	Rate    float64 // new ports a second, of each source
	Sources int     // that share the ports, each in the order given
	Copies  int     // by how many of them each port is probed; 0: by one
	Repeat  float64 // seconds until a silent port is probed again; 0: never
	Rules   Rules   // what is changed of the rules for it: Alarm, Delay

	// Closed is the chance in closed form, nil where there is none.
	Closed func(o placement.Outlook, r Rules) float64 `json:"-"`
}

// Order is the order in which a scan probes.
type Order int

// The orders.
const (
	Shuffled   Order = iota // all ports in random order: masscan, zmap
	Ascending               // 1, 2, 3, ...: RustScan, nmap -r
	Descending              // 65535, 65534, ...
	Nmap                    // the 28 most popular in random order, then the others: nmap
	Popular                 // popular ports and the hidden one in random order, no other
	From                    // ascending from Span ports below the hidden one
	DownTo                  // descending from Span ports above it
	Sweep                   // ascending over Span ports, from a random start that has it in the span
	Around                  // the Span ports around it in random order
	Slices                  // each source a run of ports, ascending
)

// aim is a scan of one trial, at one hidden port.
type aim struct {
	Scan
	rng    *rand.Rand
	target int
	start  int // of a sweep
}

func (s Scan) aim(rng *rand.Rand, target int) aim {
	a := aim{Scan: s, rng: rng, target: target}
	if s.Order == Sweep {
		a.start = target - rng.IntN(s.Span)
	}
	return a
}

// appendProbes appends when and by whom a port is probed, if at all.
func (a *aim) appendProbes(probes []probe, port int, fires bool) []probe {
	for range max(1, a.Copies) {
		if step, source, ok := a.step(port); ok {
			probes = append(probes, probe{step / a.Rate, source, fires})
		}
	}
	return probes
}

// step returns after how many ports of its source a port is probed, and the
// source. In random order that is a uniform number: the few ports of interest
// take their places among the many as though those were a continuum.
func (a *aim) step(port int) (step float64, source int, ok bool) {
	switch a.Order {
	case Shuffled:
		return a.rng.Float64() * ports * float64(max(1, a.Copies)) / float64(a.Sources), a.rng.IntN(a.Sources), true
	case Ascending:
		return float64(port - 1), 0, true
	case Descending:
		return float64(ports - port), 0, true
	case From:
		return float64(port - a.target + a.Span), 0, port >= a.target-a.Span
	case DownTo:
		return float64(a.target + a.Span - port), 0, port <= a.target+a.Span
	case Sweep:
		return float64(port - a.start), 0, a.start <= port && port < a.start+a.Span
	case Around:
		first := a.target - a.Span/2
		return a.rng.Float64() * float64(a.Span), 0, first <= port && port < first+a.Span
	case Slices:
		n := (port - 1) * a.Sources / ports
		return float64(port - 1 - n*ports/a.Sources), n, true
	}
	return a.popular(port)
}

func (a *aim) popular(port int) (step float64, source int, ok bool) {
	list, leaders := placement.Popular()
	rank := slices.Index(list, uint16(port))
	switch {
	case a.Order == Popular:
		return a.rng.Float64() * float64(len(list)+1), 0, rank >= 0 || port == a.target
	case rank >= 0 && rank < leaders:
		return a.rng.Float64() * float64(leaders), 0, true
	}
	return float64(leaders) + a.rng.Float64()*float64(ports-leaders), 0, true
}
