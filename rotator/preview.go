package rotator

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/placement"
)

// Preview is a rotation that was drawn and not carried out. The real one will
// draw other ports.
type Preview struct {
	Group  string         `json:"group"`
	Plan   portsnare.Plan `json:"plan"`
	Way    portsnare.Way  `json:"way"`
	Used   int            `json:"used"`   // port ranges of ours after the rotation
	Budget int            `json:"budget"` // port ranges that there is room for
	Traps  int            `json:"traps"`  // ports
	Writes int            `json:"writes"` // calls that change something, as far as the provider can tell
	Rules  int            `json:"rules"`  // rules in the firewall afterwards; see portsnare.Limits.Used
	Limit  int            `json:"limit"`  // rules that it may hold
	// Outlook is what such trap sets are worth, and Others what they would be
	// with fewer and with more ports exposed, where the traps are chosen
	// automatically.
	Outlook placement.Outlook   `json:"outlook"`
	Others  []placement.Outlook `json:"others,omitempty"`
	Strays  []Stray             `json:"strays,omitempty"` // openings with marks that are not the group's
	// Warnings are what no trap set can do here.
	Warnings []string `json:"warnings,omitempty"`
}

// NewPreview reads the firewall, changes nothing, and says what a rotation
// would do. What is ours there counts as the present trap set.
func NewPreview(ctx context.Context, group Group, firewall Firewall, rng *rand.Rand) (Preview, error) {
	r := &Rotator{group: group, firewall: firewall, fleet: noFleet{}, rng: rng}
	now, err := r.standing(ctx)
	if err != nil {
		return Preview{}, err
	}
	limits, err := r.limits(ctx)
	if err != nil {
		return Preview{}, err
	}
	s := state{Current: portsnare.TrapSet{Traps: portsnare.Traps{Secret: now.under(group.Mark()).Minus(group.Protected)}}}
	if err := r.draw(&s, now, limits); err != nil {
		return Preview{}, err
	}
	strikes, terrain := group.Policy.Strikes, r.terrain(&s, now, limits)
	spec, err := group.Traps.On(terrain, strikes)
	if err != nil {
		return Preview{}, err
	}
	to, way := s.Pending.To, s.Pending.Way
	plan := portsnare.Diff(now.rules, r.wanted(to.Ports().Ranges()))
	return Preview{
		Group:  group.Name,
		Plan:   plan,
		Way:    way,
		Used:   len(to.Ports().Ranges()),
		Budget: terrain.Budget,
		Traps:  to.Ports().Len(),
		Writes: writes(firewall, plan, way),
		Rules:  limits.Used(After(now.rules, plan, limits, group.Mark())),
		Limit:  limits.Rules,

		Outlook:  spec.Outlook(terrain, strikes),
		Others:   group.Traps.Alternatives(terrain, strikes),
		Strays:   Strays(now.rules, r.marks()...),
		Warnings: spec.Warnings(terrain, strikes),
	}, nil
}

// writer is a firewall that knows its API's granularity.
type writer interface {
	// Writes returns how many calls carry out a plan.
	Writes(plan portsnare.Plan) int
}

// writes returns how many calls a rotation takes that comes to plan: the two
// halves of it are carried out one after the other unless it is in place.
func writes(firewall Firewall, plan portsnare.Plan, way portsnare.Way) int {
	w, ok := firewall.(writer)
	switch {
	case !ok:
		return len(plan.Open) + len(plan.Close)
	case way == portsnare.InPlace:
		return w.Writes(plan)
	}
	return w.Writes(portsnare.Plan{Open: plan.Open}) + w.Writes(portsnare.Plan{Close: plan.Close})
}

// After returns the rules that stand once plan was carried out on those that
// stood, the new ones with made-up IDs.
func After(rules []portsnare.Rule, plan portsnare.Plan, limits portsnare.Limits, mark portsnare.Mark) []portsnare.Rule {
	after := slices.DeleteFunc(slices.Clone(rules), func(r portsnare.Rule) bool { return slices.Contains(plan.Close, r) })
	for _, o := range plan.Open {
		id := "new " + o.String()
		if limits.Folds { // one rule has all the sources of a range
			id = "new " + o.Range.String()
		}
		after = append(after, portsnare.Rule{ID: id, Opening: o, Mark: mark})
	}
	return after
}

// noFleet knows no host.
type noFleet struct{ Fleet }

func (noFleet) Report(string) (portsnare.Report, bool) { return portsnare.Report{}, false }
