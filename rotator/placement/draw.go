package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/portsnare/portsnare"
)

// Draw chooses a trap set without a generation. It never uses a port to avoid,
// and its openings fit the budget; [Spec.Fit] says what gives way. The result
// follows from the arguments alone. With rng fed by crypto/rand and nothing
// kept, knowing all past sets tells nothing about the next.
//
// A budget below 3, or a terrain with no free port, is
// [portsnare.LimitExceeded]; a spec that makes no sense is [portsnare.Invalid].
func Draw(rng *rand.Rand, spec Spec, terrain Terrain) (portsnare.Traps, error) {
	if err := spec.Validate(); err != nil {
		return portsnare.Traps{}, err
	}
	if terrain.Budget < minBudget {
		return portsnare.Traps{}, tooFew(terrain.Budget)
	}
	hidden := terrain.hidden()
	spec = spec.Fit(len(hidden), terrain.Budget)
	taken := terrain.taken()

	var traps portsnare.Traps
	room := terrain.Budget - min(1, spec.Openings)
	traps.Neighbours = drawNeighbours(rng, spec, hidden, taken, terrain.Previous.Neighbours, room)
	taken = taken.Union(traps.Neighbours)
	room = terrain.Budget - min(1, spec.Openings) - len(traps.Neighbours.Ranges())
	traps.Bait = drawBait(rng, min(spec.Bait, room), taken, keep(rng, terrain.Previous.Bait, spec.Keep))
	others := traps.Neighbours.Union(traps.Bait)
	traps.Secret = drawSecret(rng, spec, ringOf(taken.Union(traps.Bait)), terrain.Previous.Secret, terrain.Budget-len(others.Ranges()))
	if traps.Neighbours.Empty() && traps.Secret.Empty() {
		return portsnare.Traps{}, noPort()
	}
	return traps, nil
}

func tooFew(budget int) error {
	return &portsnare.Error{
		Kind: portsnare.LimitExceeded,
		Op:   "draw traps",
		Err:  fmt.Errorf("the firewall has room for %d openings, at least %d are needed", budget, minBudget),
		Hint: "remove rules from the firewall, raise its quota, or use a firewall of its own for the traps",
	}
}

func noPort() error {
	return &portsnare.Error{
		Kind: portsnare.LimitExceeded, Op: "draw traps",
		Err:  fmt.Errorf("every port is protected, in use or to be avoided"),
		Hint: "shorten the group's `avoid` list; where another rule opens every port, give the traps a firewall of their own",
	}
}

// keep returns each of the ports with the probability given.
func keep(rng *rand.Rand, ports portsnare.PortSet, share float64) portsnare.PortSet {
	var kept []portsnare.Port
	if share > 0 {
		for p := range ports.All() {
			if rng.Float64() < share {
				kept = append(kept, p)
			}
		}
	}
	return portsnare.PortSetOf(kept...)
}

// distinct returns k of the numbers 0 to n-1, sorted, every choice being
// equally likely (Floyd: Bentley, "A sample of brilliance", CACM 30(9), 1987).
func distinct(rng *rand.Rand, n, k int) []int {
	chosen := make([]int, 0, k)
	for j := n - k; j < n; j++ {
		v := rng.IntN(j + 1)
		at, found := slices.BinarySearch(chosen, v)
		if found {
			v, at = j, len(chosen) // j is larger than all before
		}
		chosen = slices.Insert(chosen, at, v)
	}
	return chosen
}
