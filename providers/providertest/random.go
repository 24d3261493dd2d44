package providertest

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/portsnare/portsnare"
)

// The random walk's length and beginning, see the package comment.
const (
	movesVariable, defaultMoves = "PORTSNARE_WALK", 300
	seedVariable, defaultSeed   = "PORTSNARE_SEED", 1
)

// random moves a small port space about in a small firewall, among humans who
// change rules and calls that fail in every way, and demands after each move
// that the firewall holds what is wanted and nothing else of ours. What holds
// after each step, every step demands.
func random(t *testing.T, p Provider) {
	const room = 16 // where it can be chosen: the limit is met now and then
	moves, seed := number(t, movesVariable, defaultMoves), number(t, seedVariable, defaultSeed)
	w := p.start(t, room)
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	before := w.Writes()
	for move := range moves {
		w.disturb(rng)
		want := w.randomOpenings(rng)
		w.trouble(rng)
		w.struggle(want)
		w.recover(want) // a list that lagged behind may have looked right
		if t.Failed() {
			t.Fatalf("after move %d of seed %d", move, seed)
		}
	}
	t.Logf("%d moves, %d writes", moves, w.Writes()-before)
	if w.Writes()-before < moves/2 {
		t.Errorf("only %d writes in %d moves: the walk is too easy", w.Writes()-before, moves)
	}
}

func number(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text, set := os.LookupEnv(variable)
	if !set {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number from 1", variable, text)
	}
	return n
}

// randomOpenings returns as many as there is room for, at most 10 ranges, in a
// port space so small that they often meet.
func (w *walk) randomOpenings(rng *rand.Rand) []portsnare.Opening {
	w.Helper()
	var ranges []portsnare.PortRange
	for range rng.IntN(min(10, w.room()) + 1) {
		ranges = append(ranges, randomRange(rng))
	}
	return portsnare.OpeningsOf(ranges, portsnare.AnySource()[rng.IntN(2):]...)
}

func randomRange(rng *rand.Rand) portsnare.PortRange {
	from := uint16(100 + rng.IntN(15))
	return portsnare.PortRange{Protocol: portsnare.TCP, From: from, To: from + uint16(rng.IntN(3))}
}

// disturb lets a human do something: make a foreign rule or take it away, or
// remove, edit, double or forge one of ours. What the vendor refuses is not
// done.
func (w *walk) disturb(rng *rand.Rand) {
	w.Helper()
	const strangers = 4 // beside the two protected rules
	o := portsnare.Opening{Range: randomRange(rng), Source: portsnare.AnySource()[rng.IntN(2)]}
	ours := w.ours()
	switch what := rng.IntN(7); {
	case what == 0 && len(w.mine) < 2+strangers:
		if form := w.p.Forms[rng.IntN(len(w.p.Forms))]; form != Marked && form != Former {
			_, _ = w.add(form, o)
		}
	case what == 1 && len(w.mine) > 2:
		w.drop(w.mine[2])
		w.mine = slices.Delete(w.mine, 2, 3)
	case what == 2 && len(ours) > 0:
		w.must(w.Human.Remove(ours[rng.IntN(len(ours))].ID))
	case what == 3 && len(ours) > 0:
		_, _ = w.Human.Edit(ours[rng.IntN(len(ours))].ID, o)
	case what == 4 && len(ours) > 0:
		_, _ = w.Human.Add(Marked, ours[rng.IntN(len(ours))].Opening)
	case what == 5:
		_, _ = w.Human.Add(Marked, o)
	}
}

// trouble lets some of the next calls fail, and lists lag behind.
func (w *walk) trouble(rng *rand.Rand) {
	if w.Faults == nil {
		return
	}
	for range rng.IntN(4) {
		fault := w.p.Faults[rng.IntN(len(w.p.Faults))]
		if special(fault) {
			continue
		}
		w.Faults.Inject(Trouble{
			Fault: fault,
			Call:  []Call{Read, Write, Write}[rng.IntN(3)],
			Skip:  rng.IntN(4),
			Times: 1 + rng.IntN(2),
		})
	}
	if rng.IntN(3) == 0 {
		w.Faults.Freeze(1 + rng.IntN(3))
	}
}
