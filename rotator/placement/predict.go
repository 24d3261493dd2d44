package placement

import (
	"math"

	"github.com/portsnare/portsnare"
)

// Entropy is what somebody who knows all of our code, and every set drawn
// before, does not know of the next, by class, in bits. It is a lower bound:
// where the strata begin is taken as known, sides that two hidden ports share
// are left out, and of what is kept it is taken as known which it is.
type Entropy struct {
	Neighbours float64 `json:"neighbours"`
	Bait       float64 `json:"bait"`
	Secret     float64 `json:"secret"`
}

// Total returns the bits of all classes.
func (e Entropy) Total() float64 { return e.Neighbours + e.Bait + e.Secret }

// Entropy returns the entropy of a draw, in closed form.
func (s Spec) Entropy(t Terrain) Entropy {
	l := s.layout(t)
	e := Entropy{Secret: l.secretBits(), Neighbours: l.neighbourBits(t)}
	if free := len(baitable(popular[:first], t.taken())); l.Bait <= free {
		e.Bait = logChoose(free, l.Bait) / math.Ln2
	}
	e.Neighbours, e.Bait, e.Secret = e.Neighbours*(1-s.Keep), e.Bait*(1-s.Keep), e.Secret*(1-s.Keep)
	return e
}

// layout is a spec as a terrain lets it be.
type layout struct {
	Spec
	size   int   // ports on the ring of the secret class
	others int   // ports that are not on it, traps of other classes included
	means  []int // of the widths of the secret ranges
}

func (s Spec) layout(t Terrain) layout {
	hidden := len(t.hidden())
	l := layout{Spec: s.Fit(hidden, t.Budget)}
	l.others = t.taken().Len() + l.Neighbours*hidden + l.Bait
	l.size = max(0, maxPort-l.others)
	l.Ports = min(l.Ports, l.size)
	l.Openings = min(l.Openings, l.Ports)
	if l.Openings > 0 {
		l.means = meanWidths(l.size, l.Openings, l.Ports)
	}
	return l
}

func (l layout) neighbourBits(t Terrain) (bits float64) {
	taken := t.taken()
	_, runs := l.side()
	last := 0 // the last port that a side has used
	for _, p := range t.hidden() {
		for _, free := range [][]uint16{freeFrom(p-1, p-l.Radius, taken), freeFrom(p+1, p+l.Radius, taken)} {
			n := min(l.Neighbours/2, atMost(free))
			if n > 0 && int(min(free[0], free[len(free)-1])) > last {
				bits += runBits(len(free), n, runs)
			}
		}
		last = p + l.Radius
	}
	return bits
}

// runBits is the logarithm of the number of choices that pickRuns has.
func runBits(size, n, runs int) float64 {
	logs := make([]float64, min(runs, n, size-n+1))
	for i := range logs {
		logs[i] = logChoose(n-1, i) + logChoose(size-n+1, i+1)
	}
	return logSum(logs) / math.Ln2
}

// secretBits adds up the widths and the places in the strata.
func (l layout) secretBits() (bits float64) {
	for i := 0; i < len(l.means); i += 2 {
		bits += math.Log2(float64(2*swing(l.size, l.means, i) + 1))
	}
	l.eachWidth(func(i, width int, p float64) {
		from, to := stratum(l.size, l.Openings, i)
		bits += p * math.Log2(float64(to-from-width+1))
	})
	return bits
}

// eachWidth calls visit with each width that range i can have, and its
// probability.
func (l layout) eachWidth(visit func(i, width int, p float64)) {
	for i, mean := range l.means {
		h := swing(l.size, l.means, i)
		for shift := -h; shift <= h; shift++ {
			visit(i, mean+shift, 1/float64(2*h+1))
		}
	}
}

// Guess returns the probability that the best n ports to guess hold k or more
// secret traps, k from 1 to n. As every port is as likely as any other, what is
// left to choose is how the n lie: in blocks that may meet a range, or spread.
// It is the best of these or a little more, as blocks count as exclusive.
func (s Spec) Guess(t Terrain, n, k int) float64 {
	l := s.layout(t)
	if l.size == 0 || k < 1 || n < k {
		return 0
	}
	blocks := func(count, size int) (p float64) {
		l.eachWidth(func(_, width int, weight float64) {
			if width >= k {
				p += weight * float64(count*(size+width-2*k+1)) / float64(l.size)
			}
		})
		return p
	}
	best := math.Exp(logChoose(n, k)) * math.Pow(float64(l.Ports)/float64(l.size), float64(k))
	for count := 1; count <= n/k; count++ {
		best = max(best, blocks(count, n/count))
	}
	if s.Keep > 0 { // and k ports of each of so many ranges of the set before
		best = max(best, 1-math.Pow(1-s.Keep, float64(n/k)))
	}
	return min(1, best)
}

// Stretch returns the guarantee of the secret class: any L neighbouring ports
// of the TCP space hold at least so many distinct traps. It is 0 where there is
// none: too few traps, or a terrain of crumbs (see [Draw]).
func (s Spec) Stretch(t Terrain, strikes int) int {
	l := s.layout(t)
	if l.Openings == 0 {
		return 0
	}
	least := leastWidth(l.size, l.means)
	if least == 0 || l.Openings*least < strikes {
		return 0
	}
	widest := (l.size + l.Openings - 1) / l.Openings
	strata := (strikes + least - 1) / least
	length := (strata+1)*widest - 1 // holds so many strata whole
	if strata == 1 {
		length = min(length, 2*widest-2*least+strikes)
	}
	return min(maxPort, length+l.others)
}

// Reach returns the smallest L such that any L neighbouring TCP ports hold at
// least so many of the traps, or 0 where there are not so many.
func Reach(traps portsnare.PortSet, strikes int) int {
	ports := []int{0}
	for p := range traps.Of(portsnare.TCP).All() {
		ports = append(ports, int(p.Number))
	}
	ports = append(ports, maxPort+1)
	longest := 0
	for i := strikes; i < len(ports); i++ {
		longest = max(longest, ports[i]-ports[i-strikes])
	}
	if len(ports)-2 < strikes {
		return 0
	}
	return longest
}
