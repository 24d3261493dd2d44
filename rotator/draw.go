package rotator

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/portsnare/portsnare"
)

// minBudget is the fewest openings worth having: two that stop a sweep from
// either side and one somewhere else.
const minBudget = 3

// Spec says how many traps of each class a group wants.
type Spec struct {
	Neighbours int // traps around each hidden port, both sides together
	Radius     int // farthest distance of a neighbour, in ports
	Bait       int // traps among the ports that scanners try first
	Openings   int // secret ranges
	Ports      int // ports in all secret ranges together
}

// Terrain is what a draw has to respect.
type Terrain struct {
	Hidden portsnare.PortSet // protected ports that the world does not know
	Avoid  portsnare.PortSet // ports that must not become traps; protected ones included
	Budget int               // openings that the firewall has room for, per source
}

// Draw chooses a trap set without a generation. It never uses a port to avoid,
// and its openings fit the budget: where the wishes do not, every class gives
// up its share, and the secret ranges get wider instead of fewer ports. With
// rng fed by crypto/rand, knowing all past sets tells nothing about the next.
//
// A budget below 3, or a terrain with no free port, is [portsnare.LimitExceeded].
func Draw(rng *rand.Rand, spec Spec, terrain Terrain) (portsnare.Traps, error) {
	if terrain.Budget < minBudget {
		return portsnare.Traps{}, &portsnare.Error{
			Kind: portsnare.LimitExceeded,
			Op:   "draw traps",
			Err:  fmt.Errorf("the firewall has room for %d openings, at least %d are needed", terrain.Budget, minBudget),
			Hint: "remove rules from the firewall, raise its quota, or use a firewall of its own for the traps",
		}
	}
	avoid := terrain.Avoid.Union(terrain.Hidden)
	neighbours, bait, openings := share(spec, hiddenTCP(terrain), terrain.Budget)

	var traps portsnare.Traps
	traps.Neighbours = drawNeighbours(rng, hiddenTCP(terrain), neighbours, spec.Radius, avoid)
	avoid = avoid.Union(traps.Neighbours)
	traps.Bait = drawBait(rng, bait, avoid)
	avoid = avoid.Union(traps.Bait)
	traps.Secret = drawSecret(rng, openings, spec.Ports, avoid)
	if traps.Ports().Empty() {
		return portsnare.Traps{}, &portsnare.Error{
			Kind: portsnare.LimitExceeded, Op: "draw traps",
			Err:  fmt.Errorf("every port is protected, in use or to be avoided"),
			Hint: "shorten the group's `avoid` list; where another rule opens every port, give the traps a firewall of their own",
		}
	}
	return traps, nil
}

func hiddenTCP(t Terrain) []portsnare.Port {
	return slices.Collect(t.Hidden.Of(portsnare.TCP).All())
}

// share fits the wishes into the budget. It returns the neighbours per hidden
// port, the baits and the secret openings.
func share(spec Spec, hidden []portsnare.Port, budget int) (neighbours, bait, openings int) {
	openings = min(spec.Openings, spec.Ports)
	wanted := spec.Neighbours*len(hidden) + spec.Bait + openings
	if wanted <= budget {
		return spec.Neighbours, spec.Bait, openings
	}
	neighbours = spec.Neighbours * budget / wanted
	bait = spec.Bait * budget / wanted
	return neighbours, bait, min(openings, budget-neighbours*len(hidden)-bait)
}

// drawNeighbours takes n ports within radius of each hidden port, as many below
// as above where there are enough of them. Never all: those could be guessed.
func drawNeighbours(rng *rand.Rand, hidden []portsnare.Port, n, radius int, avoid portsnare.PortSet) portsnare.PortSet {
	var drawn portsnare.PortSet
	for _, p := range hidden {
		number := int(p.Number)
		taken := avoid.Union(drawn)
		below := freePorts(number-radius, number-1, taken)
		above := freePorts(number+1, number+radius, taken)
		few, many := below, above
		if len(few) > len(many) {
			few, many = many, few
		}
		fromFew := min(n/2, len(few))
		drawn = drawn.Union(pick(rng, few, fromFew)).Union(pick(rng, many, n-fromFew))
	}
	return drawn
}

// drawBait takes n of the ports that scanners try first.
func drawBait(rng *rand.Rand, n int, avoid portsnare.PortSet) portsnare.PortSet {
	var free []portsnare.Port
	for _, number := range baitPorts {
		if p := (portsnare.Port{Protocol: portsnare.TCP, Number: number}); !avoid.Has(p) {
			free = append(free, p)
		}
	}
	return pick(rng, free, n)
}

// drawSecret puts one range into each of n equal strata of the port space, so
// that no long stretch is without a trap. Width and place within the stratum
// are random; the widths add up to about the number of ports asked for.
func drawSecret(rng *rand.Rand, n, ports int, avoid portsnare.PortSet) portsnare.PortSet {
	ranges := make([]portsnare.PortRange, 0, n)
	for i, width := range widths(rng, n, ports) {
		first, last := 1+i*65535/n, (i+1)*65535/n
		if r, ok := place(rng, first, last, width, avoid); ok {
			ranges = append(ranges, r)
		}
	}
	return portsnare.NewPortSet(ranges...)
}

// widths returns n random widths, each from half to one and a half times the
// mean, that add up to total.
func widths(rng *rand.Rand, n, total int) []int {
	w := make([]int, n)
	for i := range w {
		w[i] = total * (i + 1) / n
		if i > 0 {
			w[i] -= total * i / n
		}
	}
	for i := 0; i+1 < n; i += 2 {
		if half := min(w[i], w[i+1]) / 2; half > 0 {
			shift := rng.IntN(2*half+1) - half
			w[i], w[i+1] = w[i]+shift, w[i+1]-shift
		}
	}
	rng.Shuffle(n, func(i, j int) { w[i], w[j] = w[j], w[i] })
	return w
}

// place chooses a run of width ports between first and last that holds no port
// to avoid, every possible start being equally likely. Where no gap is wide
// enough the widest is taken whole; ok is false where there is no gap at all.
func place(rng *rand.Rand, first, last, width int, avoid portsnare.PortSet) (r portsnare.PortRange, ok bool) {
	gaps := free(first, last, avoid).Ranges()
	starts := 0
	for _, g := range gaps {
		starts += max(0, g.Len()-width+1)
	}
	if starts == 0 {
		if len(gaps) == 0 {
			return r, false
		}
		return slices.MaxFunc(gaps, func(a, b portsnare.PortRange) int { return cmp.Compare(a.Len(), b.Len()) }), true
	}
	at := rng.IntN(starts)
	for _, g := range gaps {
		if here := max(0, g.Len()-width+1); at >= here {
			at -= here
			continue
		}
		from := int(g.From) + at
		return portsnare.PortRange{Protocol: portsnare.TCP, From: uint16(from), To: uint16(from + width - 1)}, true
	}
	panic("unreachable: at < starts")
}

// free returns the TCP ports from first to last that are not to be avoided. The
// bounds may lie outside the port space.
func free(first, last int, avoid portsnare.PortSet) portsnare.PortSet {
	first, last = max(first, 1), min(last, 65535)
	if first > last {
		return portsnare.PortSet{}
	}
	span := portsnare.PortRange{Protocol: portsnare.TCP, From: uint16(first), To: uint16(last)}
	return portsnare.NewPortSet(span).Minus(avoid)
}

func freePorts(first, last int, avoid portsnare.PortSet) []portsnare.Port {
	return slices.Collect(free(first, last, avoid).All())
}

// pick returns n of the ports, or all where there are fewer.
func pick(rng *rand.Rand, ports []portsnare.Port, n int) portsnare.PortSet {
	rng.Shuffle(len(ports), func(i, j int) { ports[i], ports[j] = ports[j], ports[i] })
	return portsnare.PortSetOf(ports[:min(n, len(ports))]...)
}
