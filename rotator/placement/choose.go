package placement

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/portsnare/portsnare"
)

// Limits bound what Choose may ask for.
type Limits struct {
	Exposed int // trap ports of all classes, for one group
	Forged  int // packets to be forged, on average, to have a victim banned
}

// DefaultLimits expose 0.8 % of the ports and make a forger, who sees none of
// his packets answered, send 128 of them for each victim.
func DefaultLimits() Limits { return Limits{Exposed: 512, Forged: 128} }

// Suffice reports whether the limits leave enough traps for so many strikes.
func (l Limits) Suffice(strikes int) bool {
	s := Spec{}
	return s.complete(l, 0, maxPort, strikes)
}

// What Choose considers.
const (
	// maxRadius: whoever begins 32 ports away meets every neighbour.
	maxRadius = 31
	// nearForged is the fewest packets to be forged by one who knows a hidden
	// port. It is bought with the chance of a short sweep: neighbours that are
	// easily met by accident are easily met on purpose.
	nearForged = 9
	sweep      = 100 // ports of the sweep by which neighbours are judged
	maxRuns    = 4
)

// Choose returns the spec that makes the worst scan's chance smallest, then the
// next worst's, and so on, of: one source in random order over all ports or
// over those near a hidden one, nmap's order, a short sweep. What differs by
// less than a twentieth is equal; among equals the one with most entropy is
// taken. An error of kind [portsnare.Invalid] says that the limits leave too few
// traps to ban anybody, [portsnare.LimitExceeded] that the budget does.
func Choose(limits Limits, terrain Terrain, strikes int) (Spec, error) {
	if terrain.Budget < minBudget {
		return Spec{}, tooFew(terrain.Budget)
	}
	hidden := len(terrain.hidden())
	var left []candidate
	for spec := range candidates(limits, hidden, terrain.room(), strikes) {
		left = append(left, candidate{spec, spec.chances(hidden, strikes)})
	}
	if len(left) == 0 {
		return Spec{}, impossible(limits, strikes)
	}
	for rank := range left[0].chances {
		least := math.Inf(1)
		for _, c := range left {
			least = min(least, c.chances[rank])
		}
		left = slices.DeleteFunc(left, func(c candidate) bool { return c.chances[rank] > least*1.05 })
	}
	bits := func(c candidate) float64 { return c.Entropy(terrain).Total() }
	return slices.MaxFunc(left, func(a, b candidate) int { return cmp.Compare(bits(a), bits(b)) }).Spec, nil
}

func impossible(limits Limits, strikes int) error {
	return &portsnare.Error{
		Kind: portsnare.Invalid, Op: "choose traps",
		Err: fmt.Errorf("with at most %d ports exposed and at least %d forged packets a victim there are not enough traps for %d strikes",
			limits.Exposed, limits.Forged, strikes),
		Hint: "raise `traps.exposed`, or lower `traps.forged` or `policy.strikes`",
	}
}

// candidate is a spec and the chances of the scans, the worst first.
type candidate struct {
	Spec
	chances []float64
}

// chances returns those of the scans that placement can do something about.
func (s Spec) chances(hidden, strikes int) []float64 {
	firing := s.Firing(hidden)
	chances := []float64{Random(firing, s.Bait, strikes), Armed(firing, s.Bait, strikes)}
	if hidden > 0 {
		chances = append(chances, s.Sweep(sweep, strikes), Random(s.Neighbours, 0, strikes))
	}
	slices.Sort(chances)
	slices.Reverse(chances)
	return chances
}

// candidates yields every make-up that keeps the limits and the budget.
func candidates(limits Limits, hidden, budget, strikes int) iter.Seq[Spec] {
	return func(yield func(Spec) bool) {
		for neighbours := 0; neighbours <= maxRadius && neighbours*hidden <= limits.Exposed; neighbours++ {
			for runs := 1; runs <= min(maxRuns, max(1, neighbours)); runs++ {
				for bait := 0; bait <= 2*strikes; bait++ {
					s := Spec{Neighbours: 2 * neighbours, Radius: nearRadius(neighbours, strikes), Runs: runs, Bait: bait}
					if hidden == 0 && neighbours > 0 || !s.complete(limits, hidden, budget, strikes) {
						continue
					}
					if !yield(s) {
						return
					}
				}
			}
		}
	}
}

// nearRadius returns the smallest radius that keeps n neighbours to a side
// dispersed enough for nearForged.
func nearRadius(n, strikes int) int {
	return max(n+1, (nearForged*(n+1)+strikes-1)/strikes-1)
}

// complete gives s as many secret traps as the limits allow, in as many ranges
// as the budget has room for and as can each ban by themselves. It is false
// where not enough is left.
func (s *Spec) complete(limits Limits, hidden, budget, strikes int) bool {
	room := budget - s.Cost(hidden)
	most := limits.Exposed - s.Neighbours*hidden - s.Bait
	if s.Radius > maxRadius || room < 1 || most < 1 {
		return false
	}
	s.Openings = 1
	s.Ports = most - sort.Search(most, func(less int) bool {
		s.Ports = most - less
		far, _ := s.Forged(hidden, strikes)
		return far >= float64(limits.Forged)
	})
	s.Openings = min(room, max(1, s.Ports/(2*strikes)))
	return s.Ports > 0 && s.Firing(hidden) >= strikes
}

// Wish is how many traps a group wants: as many as the spec says or, where Auto
// is set, what Choose finds within the limits.
type Wish struct {
	Spec
	Auto   bool
	Limits Limits
}

// On returns the spec to draw by.
func (w Wish) On(terrain Terrain, strikes int) (Spec, error) {
	if !w.Auto {
		return w.Spec, nil
	}
	spec, err := Choose(w.Limits, terrain, strikes)
	spec.Keep = w.Keep
	return spec, err
}

// Warnings tells, a sentence each, what no draw by the spec can do in this
// terrain.
func (s Spec) Warnings(t Terrain, strikes int) (warnings []string) {
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	hidden, fit := t.hidden(), s.layout(t)
	if wanted := s.Cost(len(hidden)); wanted > t.Budget {
		warn("room for %d openings, %d wanted: there are %d for neighbours, %d for bait, %d for secret traps", t.Budget, wanted,
			fit.Cost(len(hidden))-fit.Bait-fit.Openings, fit.Bait, fit.Openings)
	}
	for _, p := range hidden {
		below := min(fit.Neighbours/2, atMost(freeFrom(p-1, p-fit.Radius, t.taken())))
		above := min(fit.Neighbours/2, atMost(freeFrom(p+1, p+fit.Radius, t.taken())))
		var open []string
		if below < strikes {
			open = append(open, "below")
		}
		if above < strikes {
			open = append(open, "above")
		}
		if len(open) > 0 {
			warn("%s has fewer than %d neighbours %s: a sweep from there may reach it", tcp(p), strikes, strings.Join(open, " and "))
		}
		if slices.Contains(popular[:first], uint16(p)) {
			warn("%s is among the 28 ports that scanners try first, where hardly any trap can ban: give the service another port", tcp(p))
		}
	}
	if s.Firing(len(hidden)) < strikes {
		warn("%d traps that can fire are too few for %d strikes", s.Firing(len(hidden)), strikes)
	}
	return warnings
}
