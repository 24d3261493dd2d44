package simulate

import (
	"context"
	"math/rand/v2"

	"github.com/portsnare/portsnare/rotator/placement"
)

// Learning is how far an adversary comes who learns.
type Learning struct {
	Every     string  `json:"traps_move"`
	Seconds   float64 `json:"seconds"` // between two rotations; 0: they never move
	Addresses int     `json:"addresses"`
	Fresh     Cell    `json:"nothing_kept"`
	Kept      Cell    `json:"half_kept"`
}

// The adversary's pace in new ports a second, slow enough for rotations to come
// between his addresses, and how many of these he has.
const (
	learnRate      = 1.0
	learnAddresses = 80
)

// Learner looks for the port with one address after the other. He probes each
// port once, in random order, until an address is banned, which he notices by a
// public port. The last probe was a trap then, so he shuns the ports beside it,
// for as many rotations as it is likely to outlast; what he shunned he comes
// back to.
type Learner struct {
	Addresses int
	Every     float64 // seconds between rotations; 0: never
	Keep      float64 // share of the traps that a rotation keeps
	Shun      int     // how far from a known trap, in ports
	Rules     Rules
	Draw      func(*Traps) error
}

// doubt is below which probability a trap once known is not shunned any more.
const doubt = 0.1

// search is a Learner at work.
type search struct {
	Learner
	now, moves    float64 // seconds
	traps         Traps
	kind          [ports + 1]byte // what stands at a port, see below
	todo, shunned []int
	known         []int           // traps by which an address was banned
	likely        []float64       // that each of these is one still
	bad           [ports + 1]bool // shunned
}

// What stands at a port: nothing, a trap that fires, bait.
const (
	none byte = iota
	firing
	arming
)

// Finds plays one learner against one hidden port.
func (l Learner) Finds(rng *rand.Rand, target int) (bool, error) {
	s := search{Learner: l, todo: rng.Perm(ports)}
	if err := s.move(); err != nil {
		return false, err
	}
	for range l.Addresses {
		for b := (bans{rules: l.Rules}); b.count == 0; {
			if l.Every > 0 && s.now >= s.moves {
				if err := s.move(); err != nil {
					return false, err
				}
			}
			port, ok := s.next()
			if !ok || port == target {
				return ok, nil
			}
			if kind := s.kind[port]; kind != none {
				if b.hit(probe{at: s.now, fires: kind == firing}); b.count > 0 {
					s.learn(port)
				}
			}
		}
	}
	return false, nil
}

// move draws new traps; what was learned is worth less then.
func (s *search) move() error {
	s.place(none, none)
	if err := s.Draw(&s.traps); err != nil {
		return err
	}
	s.place(firing, arming)
	s.moves = s.now + s.Every
	clear(s.bad[:])
	s.todo, s.shunned = append(s.todo, s.shunned...), nil
	known, likely := s.known, s.likely
	s.known, s.likely = nil, nil
	for i, port := range known {
		if p := likely[i] * s.Keep; p >= doubt {
			s.learn(port)
			s.likely[len(s.likely)-1] = p
		}
	}
	return nil
}

func (s *search) place(fires, bait byte) {
	for _, p := range s.traps.Firing {
		s.kind[p] = fires
	}
	for _, p := range s.traps.Bait {
		s.kind[p] = bait
	}
}

// next returns the next port to probe, or false where none is left.
func (s *search) next() (port int, ok bool) {
	for len(s.todo)+len(s.shunned) > 0 {
		if len(s.todo) == 0 { // nothing but what he shunned is left
			s.todo, s.shunned = s.shunned, nil
			clear(s.bad[:])
		}
		port, s.todo = s.todo[0]+1, s.todo[1:]
		if !s.bad[port] {
			s.now += 1 / learnRate
			return port, true
		}
		s.shunned = append(s.shunned, port-1)
	}
	return 0, false
}

// learn marks what lies beside a trap that he knows to be one.
func (s *search) learn(port int) {
	s.known, s.likely = append(s.known, port), append(s.likely, 1)
	for p := max(1, port-s.Shun); p <= min(ports, port+s.Shun); p++ {
		s.bad[p] = true
	}
}

// learnPeriods are the times between rotations that are compared, in seconds; 0
// is never.
var learnPeriods = []struct {
	name    string
	seconds float64
}{{"every minute", 60}, {"every 15 minutes", 900}, {"every hour", 3600}, {"every 6 hours", 21600}, {"never", 0}}

// learn plays learners against rotations of every period, with nothing and
// with half of the traps kept.
func learn(ctx context.Context, o Options) (all []Learning, err error) {
	for _, period := range learnPeriods {
		l := Learning{Every: period.name, Seconds: period.seconds, Addresses: learnAddresses}
		for i, cell := range []*Cell{&l.Fresh, &l.Kept} {
			if *cell, err = o.learner(ctx, l, float64(i)*0.5, max(1, o.Runs/50)); err != nil {
				return nil, err
			}
		}
		all = append(all, l)
	}
	return all, nil
}

// learner plays so many learners.
func (o Options) learner(ctx context.Context, l Learning, share float64, runs int) (Cell, error) {
	spec, terrain := o.Spec, o.Terrain
	spec.Keep = share
	rng := rand.New(rand.NewPCG(o.Seed, uint64(l.Seconds)+uint64(100*share)))
	hidden := Numbers(terrain.Hidden)
	// To shun half a range to either side pays best: what is shunned beside a
	// neighbour is the port itself.
	width := 1
	if s := o.Outlook().Spec; s.Openings > 0 {
		width = max(1, s.Ports/s.Openings/2)
	}
	player := Learner{Addresses: l.Addresses, Every: l.Seconds, Keep: share, Shun: width, Rules: o.Rules, Draw: func(t *Traps) error {
		traps, err := placement.Draw(rng, spec, terrain)
		terrain.Previous = traps
		t.set(traps)
		return err
	}}
	cell := Cell{Placement: "portsnare", Runs: runs}
	for i := range cell.Runs {
		if err := ctx.Err(); err != nil {
			return cell, err
		}
		terrain.Previous = o.Terrain.Previous
		found, err := player.Finds(rng, hidden[i%len(hidden)])
		if err != nil {
			return cell, err
		}
		if found {
			cell.Found++
		}
	}
	cell.Share = float64(cell.Found) / float64(cell.Runs)
	cell.Low, cell.High = wilson(cell.Found, cell.Runs)
	return cell, nil
}
