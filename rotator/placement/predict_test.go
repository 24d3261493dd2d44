package placement

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/portsnare/portsnare"
)

// secretOnly is what nothing but the secret class makes of a whole port space.
var (
	secretOnly = Spec{Openings: 40, Ports: 512}
	whole      = Terrain{Budget: 60}
)

// draws calls see with n sets, each drawn after the one before.
func draws(t *testing.T, n int, spec Spec, terrain Terrain, see func(i int, traps portsnare.Traps)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range n {
		traps, err := Draw(rng, spec, terrain)
		if err != nil {
			t.Fatal(err)
		}
		see(i, traps)
		terrain.Previous = traps
	}
}

// chiSquare fails the test unless counts are as even as chance makes them: the
// statistic, made normal (Wilson and Hilferty 1931), within 4 deviations.
func chiSquare(t *testing.T, what string, counts []int) {
	t.Helper()
	total, freedom := 0, float64(len(counts)-1)
	for _, c := range counts {
		total += c
	}
	want, x := float64(total)/float64(len(counts)), 0.0
	for _, c := range counts {
		x += (float64(c) - want) * (float64(c) - want) / want
	}
	z := (math.Cbrt(x/freedom) - 1 + 2/(9*freedom)) / math.Sqrt(2/(9*freedom))
	t.Logf("%s: chi-square %.1f with %.0f degrees of freedom, z = %+.2f", what, x, freedom, z)
	if math.Abs(z) > 4 {
		t.Errorf("%s: chi-square %.1f with %.0f degrees of freedom, z = %+.2f: want within 4", what, x, freedom, z)
	}
}

// TestPositionsAreUniform takes one trap out of each of 100,000 sets.
func TestPositionsAreUniform(t *testing.T) {
	pick := rand.New(rand.NewPCG(9, 9))
	where, start := make([]int, 255), make([]int, 255)
	draws(t, 100_000/thin, secretOnly, whole, func(_ int, traps portsnare.Traps) {
		ranges := traps.Secret.Ranges()
		r := ranges[pick.IntN(len(ranges))]
		start[(int(r.From)-1)/257]++
		at := pick.IntN(512) // the at-th trap port
		for _, r := range ranges {
			if at < r.Len() {
				where[(int(r.From)+at-1)/257]++
				break
			}
			at -= r.Len()
		}
	})
	chiSquare(t, "trap ports", where)
	chiSquare(t, "first ports of ranges", start)
}

// TestNeighboursAreUniform: every choice with few enough runs comes as often.
func TestNeighboursAreUniform(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, runs := range []int{1, 2, 3, 4} {
		index := map[int]int{}
		var counts []int
		for range 100_000 / thin {
			key := 0
			for _, i := range pickRuns(rng, 9, 4, runs) {
				key |= 1 << i
			}
			if _, known := index[key]; !known {
				index[key] = len(counts)
				counts = append(counts, 0)
			}
			counts[index[key]]++
		}
		if want := math.Exp2(runBits(9, 4, runs)); math.Abs(float64(len(counts))-want) > 1e-6 {
			t.Errorf("%d runs: %d choices, want %v", runs, len(counts), want)
		}
		chiSquare(t, "neighbours", counts)
	}
}

// TestGenerationsAreIndependent: where a set has a trap says nothing of where
// the next has one, and they share as many as two strangers do.
func TestGenerationsAreIndependent(t *testing.T) {
	pick := rand.New(rand.NewPCG(8, 8))
	pairs := make([]int, 16*16)
	last, shared, n := -1, 0, 50_000/thin
	var before portsnare.PortSet
	draws(t, n, secretOnly, whole, func(_ int, traps portsnare.Traps) {
		ranges := traps.Secret.Ranges()
		here := (int(ranges[pick.IntN(len(ranges))].From) - 1) / 4096
		if last >= 0 {
			pairs[16*last+here]++
		}
		last = here
		shared += traps.Secret.Intersect(before).Len()
		before = traps.Secret
	})
	chiSquare(t, "pairs", pairs)
	got, want := float64(shared)/float64(n-1), 512.0*512/65535
	if math.Abs(got-want) > 0.1*math.Sqrt(thin) {
		t.Errorf("consecutive sets share %.3f ports, want %.3f", got, want)
	}
}

// adversary guesses ports by what it saw.
type adversary struct{ seen [maxPort + 1]int }

func (a *adversary) learn(traps portsnare.Traps) {
	for p := range traps.Secret.All() {
		a.seen[p.Number]++
	}
}

// often returns the n ports that were traps most often, or the most seldom.
func (a *adversary) often(n int, seldom bool) portsnare.PortSet {
	better := func(x, y int) bool { return (x > y) != seldom }
	var guess []portsnare.Port
	bounds := [maxPort + 1]bool{}
	for range n {
		best := 0
		for p := 1; p <= maxPort; p++ {
			if !bounds[p] && (best == 0 || better(a.seen[p], a.seen[best]) && a.seen[p] != a.seen[best]) {
				best = p
			}
		}
		bounds[best] = true
		guess = append(guess, tcp(best))
	}
	return portsnare.PortSetOf(guess...)
}

// TestThePastDoesNotHelp: 1,000 past sets known, neither the ports that were
// traps most often nor those that were most seldom hold more or fewer traps of
// the next 2,000 than ports guessed by one who knows nothing.
func TestThePastDoesNotHelp(t *testing.T) {
	const past, future, n = 1000, 2000, 200
	var a adversary
	var guesses map[string]portsnare.PortSet
	hits := map[string]float64{}
	squares := map[string]float64{}
	draws(t, past+future, secretOnly, whole, func(i int, traps portsnare.Traps) {
		if i < past {
			a.learn(traps)
			return
		}
		if guesses == nil {
			guesses = map[string]portsnare.PortSet{"often": a.often(n, false), "seldom": a.often(n, true), "blind": blind(n)}
		}
		for name, ports := range guesses {
			got := float64(traps.Secret.Intersect(ports).Len())
			hits[name] += got / future
			squares[name] += got * got / future
		}
	})
	want := float64(n) * 512 / maxPort
	for name, mean := range hits {
		sd := math.Sqrt((squares[name] - mean*mean) / future)
		t.Logf("%s: %.3f of %d guesses are traps, want %.3f, z = %+.2f", name, mean, n, want, (mean-want)/sd)
		if math.Abs(mean-want) > 4*sd {
			t.Errorf("%s: %.3f of %d guesses are traps, want %.3f within %.3f", name, mean, n, want, 4*sd)
		}
	}
}

// blind spreads n guesses evenly.
func blind(n int) portsnare.PortSet {
	var guess []portsnare.Port
	for i := range n {
		guess = append(guess, tcp(1+i*maxPort/n))
	}
	return portsnare.PortSetOf(guess...)
}

// TestKeep: the share that is kept is the share asked for, and it is what an
// adversary who knows the set before can guess.
func TestKeep(t *testing.T) {
	for _, share := range []float64{0.25, 0.5, MaxKeep} {
		spec := secretOnly
		spec.Keep = share
		var before portsnare.Traps
		kept, first, ports, n := 0, 0, 0, 2000
		draws(t, n, spec, whole, func(_ int, traps portsnare.Traps) {
			old := before.Secret.Ranges()
			for _, r := range old {
				if traps.Secret.Intersect(portsnare.NewPortSet(r)).Len() == r.Len() {
					kept++
				}
			}
			if len(old) > 0 && traps.Secret.Intersect(portsnare.NewPortSet(old[0])).Len() >= 3 {
				first++
			}
			ports += traps.Secret.Len()
			before = traps
		})
		got := float64(kept) / float64((n-1)*40)
		if got < share-0.08 || got > share+0.02 {
			t.Errorf("keep %v: %.3f of the ranges were kept", share, got)
		}
		if mean := float64(ports) / float64(n); mean < 0.9*512 || mean > 512 {
			t.Errorf("keep %v: %.1f secret traps, want up to 512", share, mean)
		}
		guess, known := spec.Guess(whole, 3, 3), float64(first)/float64(n-1)
		t.Logf("keep %v: %.3f kept; three ports of a known range are traps again with %.3f, stated %.3f; %.0f bits", share, got, known, guess, spec.Entropy(whole).Total())
		if known > guess+0.03 {
			t.Errorf("keep %v: a guess by what is known succeeds with %.3f, stated %.3f", share, known, guess)
		}
	}
}

// TestGuess: the best guess succeeds as often as stated, and none more often.
func TestGuess(t *testing.T) {
	block := func(first, n int) (ports []portsnare.Port) {
		for i := range n {
			ports = append(ports, tcp(first+i))
		}
		return ports
	}
	var blocks []portsnare.Port
	for i := range 10 {
		blocks = append(blocks, block(1000+6000*i, 3)...)
	}
	const n = 40_000 / thin
	guesses := []struct {
		name  string
		ports portsnare.PortSet
		k     int
		best  bool
		hits  int
	}{
		{name: "one port", ports: portsnare.PortSetOf(tcp(40000)), k: 1, best: true},
		{name: "30 spread, one a trap", ports: blind(30), k: 1},
		{name: "3 in a row", ports: portsnare.PortSetOf(block(40000, 3)...), k: 3, best: true},
		{name: "30 in tens of three", ports: portsnare.PortSetOf(blocks...), k: 3, best: true},
		{name: "30 in a row", ports: portsnare.PortSetOf(block(40000, 30)...), k: 3},
		{name: "30 spread", ports: blind(30), k: 3},
	}
	draws(t, n, secretOnly, whole, func(_ int, traps portsnare.Traps) {
		for i := range guesses {
			if g := &guesses[i]; traps.Secret.Intersect(g.ports).Len() >= g.k {
				g.hits++
			}
		}
	})
	for _, g := range guesses {
		got, want := float64(g.hits)/n, secretOnly.Guess(whole, g.ports.Len(), g.k)
		sd := math.Sqrt(want * (1 - want) / n)
		t.Logf("%s: %.4f, stated %.4f", g.name, got, want)
		if got > want+4*sd || g.best && got < 0.9*want-4*sd {
			t.Errorf("%s: succeeds with %.4f, stated %.4f", g.name, got, want)
		}
	}
}

// TestEntropyBySmallCase counts all sets of a port space of 12, 2 ranges.
func TestEntropyBySmallCase(t *testing.T) {
	avoid := portsnare.NewPortSet(portsnare.PortRange{Protocol: portsnare.TCP, From: 13, To: maxPort})
	spec, terrain := Spec{Openings: 2, Ports: 4}, Terrain{Avoid: avoid, Budget: 60}
	counts, n := map[string]float64{}, 200_000/thin
	draws(t, n, spec, terrain, func(_ int, traps portsnare.Traps) { counts[traps.Secret.String()]++ })
	bits := 0.0
	for _, c := range counts {
		bits -= c / float64(n) * math.Log2(c/float64(n))
	}
	stated := spec.Entropy(terrain).Total()
	if bits < stated || bits > stated+math.Log2(12) {
		t.Errorf("entropy %.3f bits, stated at least %.3f, and no more than %.3f more", bits, stated, math.Log2(12))
	}
}

func TestDesignExampleEntropy(t *testing.T) {
	e := theirs.Entropy(Terrain{Hidden: set(t, "8443/tcp"), Budget: 58})
	// C(16,4) twice; C(28,10); 30 ranges of 7 to 20 ports in strata of 2183.
	if got, want := e.Neighbours, 2*math.Log2(1820); math.Abs(got-want) > 1e-9 {
		t.Errorf("neighbours %v bits, want %v", got, want)
	}
	if got, want := e.Bait, math.Log2(13123110); math.Abs(got-want) > 1e-9 {
		t.Errorf("bait %v bits, want %v", got, want)
	}
	if low, high := 30*math.Log2(2183-20), 30*math.Log2(2184)+15*math.Log2(15); e.Secret < low || e.Secret > high {
		t.Errorf("secret %v bits, want %v to %v", e.Secret, low, high)
	}
}
