package portsnare

import "slices"

// StepKind names what one step of a rotation does.
type StepKind string

// The steps of a rotation.
const (
	StepArm    StepKind = "arm"    // send the hosts an order, wait for every report
	StepOpen   StepKind = "open"   // add openings to the cloud firewall
	StepClose  StepKind = "close"  // remove openings from it
	StepSwap   StepKind = "swap"   // turn old openings into new ones, in place
	StepVerify StepKind = "verify" // read the firewall again: is it so?
	StepGrace  StepKind = "grace"  // wait until packets and calls on their way have arrived
	StepSettle StepKind = "settle" // read it twice: is it so, and do both reads agree? If not, begin again
)

// Step is one step of a rotation. Each names the state to be reached and not
// the change to be made, so a step that was cut short is simply done again.
type Step struct {
	ID     string // names the step within its rotation, whatever steps are added later
	Kind   StepKind
	Traps  Traps       // arm: what every host watches afterwards
	Ranges []PortRange // open, close, swap, verify, settle: what the cloud admits afterwards
}

// Way is the order in which a rotation changes the cloud firewall.
type Way string

// The ways, best first. Which one is possible depends on the room that is left.
const (
	// OpenFirst: the old and the new traps are open together for a moment.
	OpenFirst Way = "open-first"
	// InPlace: the API can turn old openings into new ones, and there is no room
	// for both or nothing to be won by it.
	InPlace Way = "in-place"
	// CloseFirst: there is no room for both; the old traps go first.
	CloseFirst Way = "close-first"
)

// ChooseWay returns the best way from one trap set to another in a firewall with
// these limits, where budget ranges may be open at once (see [Limits.Budget]).
func ChooseWay(from, to TrapSet, budget int, limits Limits) Way {
	fits := len(union(from.Ports().Ranges(), to.Ports().Ranges())) <= budget
	switch {
	case fits && !limits.Whole:
		return OpenFirst
	case limits.InPlace:
		return InPlace
	}
	return CloseFirst
}

// Standing is what is known of a group before it moves to another trap set.
type Standing struct {
	Current TrapSet // the set of the last rotation that was completed
	// Doubtful are traps of a rotation that was given up: some of them may be
	// open, and calls that open others may still be on their way.
	Doubtful Traps
	Open     PortSet // what the cloud admits under our marks, read just now
}

// Move is how a group gets from where it stands to another trap set.
type Move struct {
	From TrapSet `json:"from"` // the traps of the present set that are open
	To   TrapSet `json:"to"`
	// Stale are all other traps that are open or that a call on its way may open.
	// They are armed throughout, and closed before anything is opened.
	Stale Traps `json:"stale"`
	Way   Way   `json:"way"`
}

// MoveTo returns the best move to a trap set, in a firewall with these limits
// where budget ranges may be open at once. A port that is open under our marks
// and in no set that is known counts as bait: nobody is banned for a trap that
// was not drawn.
func (s Standing) MoveTo(to TrapSet, budget int, limits Limits) Move {
	from := TrapSet{Generation: s.Current.Generation, Traps: s.Current.Only(s.Open)}
	known := s.Current.Traps.Union(s.Doubtful)
	unknown := Traps{Bait: s.Open.Minus(known.Ports()).Minus(to.Ports())}
	stale := known.Union(unknown).Minus(from.Ports()).Minus(to.Ports())
	return Move{From: from, To: to, Stale: stale, Way: ChooseWay(from, to, budget, limits)}
}

// Traps returns every trap that may be open while the group moves.
func (m Move) Traps() Traps { return m.From.Traps.Union(m.To.Traps).Union(m.Stale) }

// Steps returns the steps of a move. On every way a trap is armed on the hosts
// before the cloud opens it. It is disarmed only after the cloud closed it, a
// grace time passed that is longer than any call to the cloud can be on its way,
// and the cloud was read again. No protected port appears in any step.
func (m Move) Steps() []Step {
	before, after := m.From.Ports().Ranges(), m.To.Ports().Ranges()
	steps := []Step{{ID: "arm", Kind: StepArm, Traps: m.Traps()}}
	add := func(id string, kind StepKind, ranges []PortRange) {
		steps = append(steps, Step{ID: id, Kind: kind, Ranges: ranges},
			Step{ID: "verify-" + id, Kind: StepVerify, Ranges: ranges})
	}
	if !m.Stale.Ports().Empty() {
		add("tidy", StepClose, before)
	}
	switch m.Way {
	case InPlace:
		add("swap", StepSwap, after)
	case CloseFirst:
		add("close", StepClose, intersect(before, after))
		add("open", StepOpen, after)
	default:
		add("open", StepOpen, union(before, after))
		add("close", StepClose, after)
	}
	return append(steps,
		Step{ID: "grace", Kind: StepGrace},
		Step{ID: "settle", Kind: StepSettle, Ranges: after},
		Step{ID: "disarm", Kind: StepArm, Traps: m.To.Traps})
}

// Steps returns the steps from one trap set, all of which is open, to the next.
func Steps(from, to TrapSet, way Way) []Step { return Move{From: from, To: to, Way: way}.Steps() }

// StepIndex returns where in steps the step named id is, or 0 where none is: every
// step may be done again, so whoever does not know where he was begins at the
// first.
func StepIndex(steps []Step, id string) int {
	return max(0, slices.IndexFunc(steps, func(s Step) bool { return s.ID == id }))
}

// union and intersect treat ranges as openings, alike only if both ends are:
// 1-9 and 5-20 open together are two rules, not the rule 1-20.
func union(a, b []PortRange) []PortRange {
	all := slices.Concat(a, b)
	slices.SortFunc(all, compareRanges)
	return slices.Compact(all)
}

func intersect(a, b []PortRange) []PortRange {
	return slices.DeleteFunc(slices.Clone(a), func(r PortRange) bool { return !slices.Contains(b, r) })
}
