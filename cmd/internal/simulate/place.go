package simulate

import (
	"math/rand/v2"
	"slices"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/placement"
)

// Placement is a way to choose traps.
type Placement struct {
	Name string
	Draw func(rng *rand.Rand, traps *Traps) error
}

// Traps are the ports of one trap set. Draw fills them anew and may use the
// memory that is there.
type Traps struct {
	Firing, Bait []int
}

func (t *Traps) set(from portsnare.Traps) {
	t.Firing, t.Bait = t.Firing[:0], t.Bait[:0]
	for p := range from.Neighbours.All() {
		t.Firing = append(t.Firing, int(p.Number))
	}
	for p := range from.Secret.All() {
		t.Firing = append(t.Firing, int(p.Number))
	}
	for p := range from.Bait.All() {
		t.Bait = append(t.Bait, int(p.Number))
	}
}

// Ours is what Portsnare draws.
func Ours(spec placement.Spec, terrain placement.Terrain) Placement {
	return Placement{"portsnare", func(rng *rand.Rand, t *Traps) error {
		traps, err := placement.Draw(rng, spec, terrain)
		t.set(traps)
		return err
	}}
}

// Fixed is what the README of anti-portscan suggests: the five ports below and
// the five above each hidden one, always.
func Fixed(terrain placement.Terrain) Placement {
	var around []int
	for p := range terrain.Hidden.Of(portsnare.TCP).All() {
		for d := -5; d <= 5; d++ {
			n := int(p.Number) + d
			if n >= 1 && n <= ports && free(terrain, n) && !slices.Contains(around, n) {
				around = append(around, n)
			}
		}
	}
	return Placement{"fixed ±5", func(_ *rand.Rand, t *Traps) error {
		t.Firing, t.Bait = append(t.Firing[:0], around...), nil
		return nil
	}}
}

// Uniform is a random port for each opening of the budget.
func Uniform(terrain placement.Terrain) Placement {
	return Placement{"uniform", func(rng *rand.Rand, t *Traps) error {
		t.Firing, t.Bait = t.Firing[:0], nil
		for len(t.Firing) < terrain.Budget {
			if n := 1 + rng.IntN(ports); free(terrain, n) && !slices.Contains(t.Firing, n) {
				t.Firing = append(t.Firing, n)
			}
		}
		return nil
	}}
}

// Everything makes a trap of every port that may be one. No cloud firewall is
// left then, and every stray packet of an innocent is a hit.
func Everything(terrain placement.Terrain) Placement {
	var all []int
	for n := 1; n <= ports; n++ {
		if free(terrain, n) {
			all = append(all, n)
		}
	}
	return Placement{"everything", func(_ *rand.Rand, t *Traps) error {
		t.Firing, t.Bait = append(t.Firing[:0], all...), nil
		return nil
	}}
}

func free(t placement.Terrain, n int) bool {
	p := portsnare.Port{Protocol: portsnare.TCP, Number: uint16(n)}
	return !t.Hidden.Has(p) && !t.Avoid.Has(p)
}
