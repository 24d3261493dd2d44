package simulate

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/portsnare/portsnare/rotator/placement"
)

// Forging is what it takes to have somebody else banned.
type Forging struct {
	Knows  string  `json:"knows"`
	Closed float64 `json:"closed_form"` // no plan needs fewer on average
	Mean   float64 `json:"mean"`        // of a plan that can be followed blindly: all bait, then ports in random order
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// forge plays an adversary who sends SYNs in a victim's name. He gets no answer,
// so he follows a plan: the ports scanners try first if there may be bait among
// them, then others in random order.
func forge(ctx context.Context, o Options) ([]Forging, error) {
	strikes := o.Rules.Policy.Strikes
	far, near := o.Outlook().Far, o.Outlook().Near
	hidden := Numbers(o.Terrain.Hidden)
	radius := max(1, o.Outlook().Spec.Radius)
	everywhere := func(rng *rand.Rand) []int { return rng.Perm(ports) }
	beside := func(rng *rand.Rand) []int {
		plan := rng.Perm(2*radius + 1)
		for i := range plan {
			plan[i] += hidden[0] - radius - 1
		}
		return plan
	}
	all := []Forging{{Knows: "our code", Closed: far}, {Knows: "our code and a hidden port", Closed: near}}
	for i, plan := range []func(*rand.Rand) []int{everywhere, beside} {
		rng := rand.New(rand.NewPCG(o.Seed, uint64(1000+i)))
		var packets []float64
		for range max(1, o.Runs/10) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			var traps Traps
			if err := Ours(o.Spec, o.Terrain).Draw(rng, &traps); err != nil {
				return nil, err
			}
			if n := packetsToBan(plan(rng), traps, o.Outlook().Spec.Bait > 0 && i == 0, strikes); n > 0 {
				packets = append(packets, float64(n))
			}
		}
		all[i].Mean, all[i].Low, all[i].High = mean(packets)
	}
	return all, nil
}

// Outlook returns what the spec is worth on the terrain.
func (o Options) Outlook() placement.Outlook {
	return o.Spec.Outlook(o.Terrain, o.Rules.Policy.Strikes)
}

// packetsToBan returns how many packets it took, 0 for no ban. The plan holds
// port numbers less 1.
func packetsToBan(plan []int, traps Traps, baitFirst bool, strikes int) (packets int) {
	kind := trapMap(traps)
	met := 0
	hit := func(port int) (banned bool) {
		packets++
		fires, isTrap := kind[port]
		if !isTrap {
			return false
		}
		delete(kind, port)
		if met >= strikes-1 {
			return fires
		}
		met++
		return false
	}
	if list, leaders := placement.Popular(); baitFirst {
		for _, p := range list[:leaders] {
			if hit(int(p)) {
				return packets
			}
		}
	}
	for _, p := range plan {
		if hit(p + 1) {
			return packets
		}
	}
	return 0
}

func mean(values []float64) (m, low, high float64) {
	sum, squares, n := 0.0, 0.0, float64(len(values))
	for _, v := range values {
		sum += v
		squares += v * v
	}
	if n < 2 {
		return sum, sum, sum
	}
	m = sum / n
	half := 1.959964 * math.Sqrt((squares/n-m*m)/(n-1))
	return m, m - half, m + half
}

// trapMap returns the traps, and whether each fires.
func trapMap(traps Traps) map[int]bool {
	fires := make(map[int]bool, len(traps.Firing)+len(traps.Bait))
	for _, p := range traps.Firing {
		fires[p] = true
	}
	for _, p := range traps.Bait {
		fires[p] = false
	}
	return fires
}
