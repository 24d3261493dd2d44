package placement

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/portsnare/portsnare"
)

// drawNeighbours takes half of the neighbours on each side of each hidden port;
// what one side has no room for goes to the other. Ports close together share
// what lies between them. Where the openings do not suffice for all ports, some
// go without, others each time.
func drawNeighbours(rng *rand.Rand, spec Spec, hidden []int, taken, previous portsnare.PortSet, openings int) portsnare.PortSet {
	var drawn portsnare.PortSet
	if spec.Neighbours == 0 {
		return drawn
	}
	hidden = slices.Clone(hidden)
	rng.Shuffle(len(hidden), func(i, j int) { hidden[i], hidden[j] = hidden[j], hidden[i] })
	for _, p := range hidden {
		with := drawAround(rng, spec, p, taken, previous, drawn)
		if len(with.Ranges()) <= openings {
			drawn = with
		}
	}
	return drawn
}

// drawAround returns drawn with the neighbours of p added.
func drawAround(rng *rand.Rand, spec Spec, p int, taken, previous, drawn portsnare.PortSet) portsnare.PortSet {
	below := freeFrom(p-1, p-spec.Radius, taken)
	above := freeFrom(p+1, p+spec.Radius, taken)
	few, many := below, above
	if len(few) > len(many) {
		few, many = many, few
	}
	fromFew := min(spec.Neighbours/2, atMost(few))
	_, runs := spec.side()
	for _, side := range []struct {
		free []uint16
		n    int
	}{{few, fromFew}, {many, min(spec.Neighbours-fromFew, atMost(many))}} {
		drawn = drawn.Union(drawSide(rng, side.free, side.n, runs, spec.Keep, previous, drawn))
	}
	return drawn
}

// atMost returns how many of the free ports may be traps: never all, since
// those could be guessed.
func atMost(free []uint16) int { return max(0, len(free)-1) }

// drawSide takes what is missing to n traps on one side.
func drawSide(rng *rand.Rand, free []uint16, n, runs int, share float64, previous, drawn portsnare.PortSet) portsnare.PortSet {
	var here, before []portsnare.Port
	var rest []uint16
	for _, number := range free {
		p := tcp(int(number))
		if drawn.Has(p) {
			here = append(here, p)
			continue
		}
		rest = append(rest, number)
		if previous.Has(p) {
			before = append(before, p)
		}
	}
	n -= len(here)
	switch {
	case n <= 0:
		return portsnare.PortSet{}
	case share > 0 && len(before) == n && rng.Float64() < share:
		return portsnare.PortSetOf(before...)
	}
	ports := make([]portsnare.Port, 0, n)
	for _, i := range pickRuns(rng, len(rest), n, runs) {
		ports = append(ports, tcp(int(rest[i])))
	}
	return portsnare.PortSetOf(ports...)
}

// pickRuns returns n of the numbers 0 to size-1, every choice that forms at
// most so many runs being equally likely; n < size.
func pickRuns(rng *rand.Rand, size, n, runs int) []int {
	if runs >= n {
		return distinct(rng, size, n)
	}
	weights := runWeights(size, n, runs)
	at, j := rng.Float64(), 1
	for ; j < len(weights) && at >= weights[j-1]; j++ {
		at -= weights[j-1]
	}
	cuts := append(distinct(rng, n-1, j-1), n-1) // a run ends behind these
	gaps := distinct(rng, size-n+1, j)           // so many of the others lie before each run
	picked := make([]int, 0, n)
	for i, run := 0, 0; i < n; i++ {
		picked = append(picked, gaps[run]+i)
		if i == cuts[run] {
			run++
		}
	}
	return picked
}

// runWeights returns the probability of 1, 2, ... runs. Of the choices of n out
// of size, C(n-1,j-1)·C(size-n+1,j) have just j runs.
func runWeights(size, n, runs int) []float64 {
	logs := make([]float64, min(runs, n, size-n+1))
	for i := range logs {
		logs[i] = logChoose(n-1, i) + logChoose(size-n+1, i+1)
	}
	total := logSum(logs)
	for i := range logs {
		logs[i] = math.Exp(logs[i] - total)
	}
	return logs
}

// logChoose returns the natural logarithm of the binomial coefficient.
func logChoose(n, k int) float64 {
	if k < 0 || k > n {
		return math.Inf(-1)
	}
	return logFactorial(n) - logFactorial(k) - logFactorial(n-k)
}

func logFactorial(n int) float64 {
	v, _ := math.Lgamma(float64(n) + 1)
	return v
}

// logSum returns the logarithm of a sum given by logarithms.
func logSum(logs []float64) float64 {
	most := slices.Max(logs)
	sum := 0.0
	for _, l := range logs {
		sum += math.Exp(l - most)
	}
	return most + math.Log(sum)
}
