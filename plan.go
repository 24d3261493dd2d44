package portsnare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Plan is what must change in a cloud firewall. It is data: sorted, printable,
// and carried out by a provider in the fewest writes that its API allows.
type Plan struct {
	Open  []Opening `json:"open"`  // to be created with our mark
	Close []Rule    `json:"close"` // ours, to be removed
	// Held are rules of ours that should go but are alone in admitting a
	// protected port, which only its owner may close.
	Held []Rule `json:"held,omitempty"`
}

// Done is what a provider truly changed, also when it failed half-way.
type Done struct {
	Opened []Opening `json:"opened"`
	Closed []Rule    `json:"closed"`
	Writes int       `json:"writes"` // API calls that changed something
}

// Wanted is what a firewall shall hold: our openings under our mark, and the
// ports that must stay open whoever opened them.
type Wanted struct {
	Mark      Mark
	Former    []Mark // that our rules bore before: such a rule is ours too, and never stays
	Openings  []Opening
	Protected PortSet
}

// Diff returns the plan that turns the rules of a firewall into those wanted.
// It touches no rule that bears anybody else's mark, and opens nothing that a
// foreign rule admits already in just the same form. A rule with a former mark is
// closed, and opened again with ours where it is wanted.
func Diff(have []Rule, want Wanted) Plan {
	missing := make(map[Opening]bool, len(want.Openings))
	for _, o := range want.Openings {
		missing[o] = true
	}
	ours, foreign := Ours(have, append(slices.Clone(want.Former), want.Mark)...)
	for _, r := range foreign {
		if !r.Deny {
			delete(missing, r.Opening)
		}
	}
	var plan Plan
	for _, r := range ours {
		switch {
		case missing[r.Opening] && r.Mark == want.Mark: // stays; a second rule like it does not
			delete(missing, r.Opening)
		case admitsAlone(r, foreign, want.Protected):
			plan.Held = append(plan.Held, r)
		default:
			plan.Close = append(plan.Close, r)
		}
	}
	for o := range missing {
		plan.Open = append(plan.Open, o)
	}
	plan.holdWhole()
	plan.sort()
	return plan
}

// holdWhole holds whatever shares its ID with a rule that is held, as a
// provider removes both or none.
func (p *Plan) holdWhole() {
	held := make(map[string]bool, len(p.Held))
	for _, r := range p.Held {
		held[r.ID] = true
	}
	p.Close = slices.DeleteFunc(p.Close, func(r Rule) bool {
		if held[r.ID] {
			p.Held = append(p.Held, r)
		}
		return held[r.ID]
	})
}

// admitsAlone reports whether r admits a protected port to a source that no
// foreign rule admits to it.
func admitsAlone(r Rule, foreign []Rule, protected PortSet) bool {
	for p := range protected.Intersect(NewPortSet(r.Opening.Range)).All() {
		needed := Opening{p.Range(), r.Opening.Source}
		if !slices.ContainsFunc(foreign, func(f Rule) bool { return !f.Deny && f.Opening.Covers(needed) }) {
			return true
		}
	}
	return false
}

func (p *Plan) sort() {
	byOpening := func(a, b Rule) int {
		return cmp.Or(compareOpenings(a.Opening, b.Opening), cmp.Compare(a.ID, b.ID))
	}
	slices.SortFunc(p.Open, compareOpenings)
	slices.SortFunc(p.Close, byOpening)
	slices.SortFunc(p.Held, byOpening)
}

// Check is the last gate before a provider writes: whatever made the plan, only
// rules that bear one of marks are closed, none that is to be held, and what is
// opened is an opening. The first mark is the one that new rules get, the others
// are former ones of ours. The error, of kind [Invalid], says what the first is
// that is not so. It names no port, as it may be logged.
func (p Plan) Check(marks ...Mark) error {
	if len(marks) == 0 || slices.Contains(marks, "") {
		return invalidf("an owner mark is needed")
	}
	for _, r := range p.Close {
		switch {
		case r.ID == "":
			return invalidf("a rule to be closed has no id")
		case r.Deny:
			return invalidf("a rule to be closed refuses: it is not ours")
		case !slices.Contains(marks, r.Mark):
			return invalidf("a rule to be closed bears the mark %q, ours is %q", r.Mark, marks[0])
		case slices.ContainsFunc(p.Held, func(h Rule) bool { return h.ID == r.ID }):
			return invalidf("a rule to be closed is to be held too")
		}
	}
	for _, o := range p.Open {
		if !o.valid() {
			return invalidf("what is to be opened is no port range with a source")
		}
	}
	return nil
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Open) == 0 && len(p.Close) == 0 }

// String returns a line for each change: "+ 8000-8009/tcp from 0.0.0.0/0".
func (p Plan) String() string {
	var b strings.Builder
	for _, o := range p.Open {
		fmt.Fprintf(&b, "+ %s\n", o)
	}
	for _, r := range p.Close {
		fmt.Fprintf(&b, "- %s (%s)\n", r.Opening, r.ID)
	}
	for _, r := range p.Held {
		fmt.Fprintf(&b, "! %s (%s) stays: nothing else admits a protected port in it\n", r.Opening, r.ID)
	}
	return b.String()
}
