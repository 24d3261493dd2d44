package placement

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRandom plays the ladder on shuffled ports.
func TestRandom(t *testing.T) {
	const n = 60_000 / thin
	rng := rand.New(rand.NewPCG(1, 1))
	for _, tt := range []struct{ firing, bait, strikes int }{
		{8, 0, 3}, {8, 3, 3}, {1, 5, 3}, {0, 5, 2}, {2, 0, 3}, {30, 10, 8}, {5, 0, 1}, {5, 5, 1},
	} {
		found := 0
		for range n {
			if play(rng, tt.firing, tt.bait, tt.strikes) {
				found++
			}
		}
		got, want := float64(found)/n, Random(tt.firing, tt.bait, tt.strikes)
		if math.Abs(got-want) > 4*math.Sqrt(want*(1-want)/n)+1e-9 {
			t.Errorf("%+v: %.4f, want %.4f", tt, got, want)
		}
	}
}

// play reports whether the port is reached. Kinds: 0 it, then firing, then bait.
func play(rng *rand.Rand, firing, bait, strikes int) bool {
	met := 0
	for _, kind := range rng.Perm(1 + firing + bait) {
		switch {
		case kind == 0:
			return true
		case kind <= firing && met >= strikes-1:
			return false
		}
		met++
	}
	panic("the port is among them")
}

func TestClosedForms(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want float64
	}{
		{"K/(T+1)", Random(100, 0, 3), 3.0 / 101},
		{"with one strike bait is nothing", Random(20, 0, 1), 1.0 / 21},
		{"armed by bait, one trap is left to meet", Armed(100, 10, 3), 1.0 / 101},
		{"one source is the whole", Slices(100, 3, 1), 3.0 / 101},
		{"peers' table, 62 sources, 58 traps", Slices(58, 3, 62), 0.981},
		{"peers' table, 62 sources, 100 traps", Slices(100, 3, 62), 0.931},
		{"peers' table, 5 sources, k=1", Slices(100, 1, 5), 0.049},
		{"an alarm at one source", Alarmed(100, 62, 1), 1.0 / 101},
		{"an alarm that cannot be", Alarmed(100, 3, 5), 1},
		{"the third of four in sixteen", theirs.Sweep(100, 3), 3 * 17.0 / 5 / 100},
		{"too few neighbours", theirs.Sweep(100, 5), 1},
	} {
		if math.Abs(tt.got-tt.want) > 0.0006 {
			t.Errorf("%s: %.4f, want %.4f", tt.name, tt.got, tt.want)
		}
	}
	for _, runs := range []int{1, 2, 3, 8} {
		rng, sum, n := rand.New(rand.NewPCG(2, 2)), 0, 40_000/thin
		for range n {
			sum += pickRuns(rng, 29, 8, runs)[2] + 1
		}
		if got, want := float64(sum)/float64(n), nearest(29, 8, runs, 3); math.Abs(got-want) > 0.15*math.Sqrt(thin) {
			t.Errorf("%d runs: the third neighbour lies %.2f away, want %.2f", runs, got, want)
		}
	}
}

// TestForged forges until the ban, in random order.
func TestForged(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	far, near := theirs.Forged(1, 3)
	// Two strikes by bait, then one trap; that takes fewer packets than three traps.
	armed := 2 * 29.0 / 11
	if wantFar, wantNear := armed+65536.0/409, armed+33.0/9; math.Abs(far-wantFar) > 1e-9 || math.Abs(near-wantNear) > 1e-9 {
		t.Errorf("far %.2f packets, near %.2f: want %.2f, %.2f", far, near, wantFar, wantNear)
	}
	far, _ = Spec{Openings: 1, Ports: 99}.Forged(0, 3)
	packets, n := 0, 1000/thin
	for range n {
		traps := distinct(rng, maxPort, 99)
		met := 0
		for i, p := range rng.Perm(maxPort) {
			if _, hit := slices.BinarySearch(traps, p); hit {
				met++
			}
			if met == 3 {
				packets += i + 1
				break
			}
		}
	}
	if got := float64(packets) / float64(n); math.Abs(got-far) > 0.08*math.Sqrt(thin)*far {
		t.Errorf("%.0f packets, stated %.0f", got, far)
	}
}
