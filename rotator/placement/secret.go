package placement

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/portsnare/portsnare"
)

// ring numbers the free ports from 0 on; behind the last comes the first.
type ring struct {
	free   []portsnare.PortRange // sorted
	before []int                 // how many free ports lie before each range
	size   int
}

func ringOf(taken portsnare.PortSet) ring {
	r := ring{free: portsnare.NewPortSet(space).Minus(taken).Ranges()}
	r.before = make([]int, len(r.free))
	for i, f := range r.free {
		r.before[i] = r.size
		r.size += f.Len()
	}
	return r
}

// appendPorts appends the ports that bear the numbers from start on, which may
// go beyond the ring's end. A taken port in between parts them.
func (r ring) appendPorts(ranges []portsnare.PortRange, start, width int) []portsnare.PortRange {
	for width > 0 {
		start %= r.size
		i, exact := slices.BinarySearch(r.before, start)
		if !exact {
			i--
		}
		from := int(r.free[i].From) + start - r.before[i]
		n := min(width, int(r.free[i].To)-from+1)
		ranges = append(ranges, portsnare.PortRange{Protocol: portsnare.TCP, From: uint16(from), To: uint16(from + n - 1)})
		start, width = start+n, width-n
	}
	return ranges
}

// number returns the number of the first of the ports, which must all be free
// and in one piece.
func (r ring) number(ports portsnare.PortRange) (n int, ok bool) {
	i, exact := slices.BinarySearchFunc(r.free, ports.From, func(f portsnare.PortRange, from uint16) int { return cmp.Compare(f.From, from) })
	if !exact {
		i--
	}
	if i < 0 || ports.To > r.free[i].To || ports.Protocol != portsnare.TCP {
		return 0, false
	}
	return r.before[i] + int(ports.From-r.free[i].From), true
}

// tries is how often a draw is repeated whose ranges, parted by taken ports or
// by the seam of the ring, come to more than the openings there are.
const tries = 16

// drawSecret puts one range into each stratum of the ring. Where the terrain is
// such crumbs that no try fits the openings, the widest pieces are taken.
func drawSecret(rng *rand.Rand, spec Spec, r ring, previous portsnare.PortSet, openings int) portsnare.PortSet {
	n := min(spec.Openings, openings, spec.Ports, r.size)
	if n <= 0 {
		return portsnare.PortSet{}
	}
	var drawn portsnare.PortSet
	for range tries {
		drawn = spread(rng, r, n, min(spec.Ports, r.size), spec.Keep, previous)
		if len(drawn.Ranges()) <= openings {
			return drawn
		}
	}
	pieces := drawn.Ranges()
	slices.SortStableFunc(pieces, func(a, b portsnare.PortRange) int { return cmp.Compare(b.Len(), a.Len()) })
	return portsnare.NewPortSet(pieces[:openings]...)
}

// spread returns n ranges of together at most so many ports, one in each
// stratum; without any kept they are exactly so many. The strata begin at a
// random point of the ring, which makes every port equally likely.
func spread(rng *rand.Rand, r ring, n, ports int, share float64, previous portsnare.PortSet) portsnare.PortSet {
	origin := rng.IntN(r.size)
	means := meanWidths(r.size, n, ports)
	old := inherit(r, origin, n, share, previous)
	least := leastWidth(r.size, means)
	widths := drawWidths(rng, r.size, means)
	total := ports
	ranges := make([]portsnare.PortRange, 0, n+4)
	for i, width := range widths {
		first, last := stratum(r.size, n, i)
		if candidates := old[i]; len(candidates) > 0 && rng.Float64() < share*6/5 { // see MaxKeep
			kept := candidates[rng.IntN(len(candidates))]
			if kept.width >= least && total+kept.width-width <= ports {
				total += kept.width - width
				ranges = r.appendPorts(ranges, kept.start, kept.width)
				continue
			}
		}
		ranges = r.appendPorts(ranges, origin+first+rng.IntN(last-first-width+1), width)
	}
	return portsnare.NewPortSet(ranges...)
}

// stratum returns the bounds of the i-th of n strata, the end excluded.
func stratum(size, n, i int) (first, last int) { return i * size / n, (i + 1) * size / n }

// piece is a range on the ring.
type piece struct{ start, width int }

// inherit returns the ranges of the set before that lie whole in a stratum, by
// stratum; nil where none are to be kept.
func inherit(r ring, origin, n int, share float64, previous portsnare.PortSet) map[int][]piece {
	if share == 0 {
		return nil
	}
	old := make(map[int][]piece)
	for _, ports := range previous.Ranges() {
		number, ok := r.number(ports)
		if !ok {
			continue
		}
		at := (number - origin + r.size) % r.size
		i := ((at+1)*n - 1) / r.size
		if _, last := stratum(r.size, n, i); at+ports.Len() <= last {
			old[i] = append(old[i], piece{number, ports.Len()})
		}
	}
	return old
}

// meanWidths returns n equal widths that add up to ports, save that none exceeds
// its stratum. The drawn ones go from half to one and a half times of them.
func meanWidths(size, n, ports int) []int {
	widths := make([]int, n)
	for i := range widths {
		first, last := stratum(ports, n, i)
		left, right := stratum(size, n, i)
		widths[i] = min(last-first, right-left)
	}
	return widths
}

// drawWidths draws the widths. What one of a pair gains the other loses.
func drawWidths(rng *rand.Rand, size int, means []int) []int {
	widths := slices.Clone(means)
	for i := 0; i+1 < len(means); i += 2 {
		h := swing(size, means, i)
		shift := rng.IntN(2*h+1) - h
		widths[i], widths[i+1] = widths[i]+shift, widths[i+1]-shift
	}
	return widths
}

// swing returns by how much the width i, and with it its partner, may differ
// from the mean: both stay at half at least, and within their strata.
func swing(size int, means []int, i int) int {
	i &^= 1
	if i+1 == len(means) {
		return 0 // the last of an odd number has no partner
	}
	h := min(means[i], means[i+1]) / 2
	for j := i; j <= i+1; j++ {
		first, last := stratum(size, len(means), j)
		h = min(h, last-first-means[j])
	}
	return h
}

// leastWidth returns the smallest width that can be drawn.
func leastWidth(size int, means []int) int {
	least := maxPort
	for i, mean := range means {
		least = min(least, mean-swing(size, means, i))
	}
	return least
}
