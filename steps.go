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
	StepGrace  StepKind = "grace"  // wait until packets on their way have arrived
)

// Step is one step of a rotation. Each names the state to be reached and not
// the change to be made, so a step that was cut short is simply done again.
type Step struct {
	Kind   StepKind
	Traps  Traps       // arm: what every host watches afterwards
	Ranges []PortRange // open, close, swap, verify: what the cloud admits afterwards
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

// Steps returns how a group gets from one trap set to the next. On every way a
// trap is armed on the hosts before the cloud opens it, and disarmed only after
// the cloud closed it and a grace time passed; no protected port appears in any
// step.
func Steps(from, to TrapSet, way Way) []Step {
	before, after := from.Ports().Ranges(), to.Ports().Ranges()
	steps := []Step{{Kind: StepArm, Traps: from.Traps.Union(to.Traps)}}
	switch way {
	case InPlace:
		steps = append(steps, cloudSteps(StepSwap, after)...)
	case CloseFirst:
		steps = append(steps, cloudSteps(StepClose, intersect(before, after))...)
		steps = append(steps, cloudSteps(StepOpen, after)...)
	default:
		steps = append(steps, cloudSteps(StepOpen, union(before, after))...)
		steps = append(steps, cloudSteps(StepClose, after)...)
	}
	return append(steps, Step{Kind: StepGrace}, Step{Kind: StepArm, Traps: to.Traps})
}

func cloudSteps(kind StepKind, ranges []PortRange) []Step {
	return []Step{{Kind: kind, Ranges: ranges}, {Kind: StepVerify, Ranges: ranges}}
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
