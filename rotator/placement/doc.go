// Package placement decides where traps lie. It draws trap sets ([Draw]), picks
// their make-up for a rule budget ([Choose]), and says in closed form what they
// are worth: the chance that a scan gets through ([Random], [Spec.Sweep]), what
// an adversary can know beforehand ([Spec.Entropy], [Spec.Guess]) and what it
// costs to have somebody else banned ([Spec.Forged]).
//
// Everything is a pure function of its arguments; randomness comes in as a
// *rand.Rand. Package cmd/internal/simulate checks the closed forms against
// drawn sets, and its tests against the real kernel and real scanners.
//
// # How a set is drawn
//
// Neighbours: on each side of a hidden port, within the radius, a uniformly
// random subset of the free ports among all those that form at most the stated
// number of runs. A run of adjacent ports costs one opening.
//
// Bait: a uniformly random choice from the table of ports that scanners try
// first.
//
// Secret: the ports still free are bent into a ring, which is cut into strata of
// equal size, from a random point on. Each stratum holds one range of random
// width at a random place. No stretch of the port space is without a trap, and
// yet every free port is a trap with exactly the same probability.
package placement
