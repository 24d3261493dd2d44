package rotator

import (
	"context"
	"math/rand/v2"

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
	// Outlook is what such trap sets are worth, and Others what they would be
	// with fewer and with more ports exposed, where the traps are chosen
	// automatically.
	Outlook placement.Outlook   `json:"outlook"`
	Others  []placement.Outlook `json:"others,omitempty"`
	// Warnings are what no trap set can do here.
	Warnings []string `json:"warnings,omitempty"`
}

// NewPreview reads the firewall, changes nothing, and says what a rotation
// would do. What is ours there counts as the present trap set.
func NewPreview(ctx context.Context, group Group, firewall Firewall, rng *rand.Rand) (Preview, error) {
	r := &Rotator{group: group, firewall: firewall, fleet: noFleet{}, rng: rng}
	rules, limits, err := r.read(ctx)
	if err != nil {
		return Preview{}, err
	}
	ours, _ := portsnare.Ours(rules, group.Mark())
	s := state{Current: portsnare.TrapSet{Traps: portsnare.Traps{Secret: portsnare.OpenPorts(ours)}}}
	if err := r.begin(ctx, &s); err != nil {
		return Preview{}, err
	}
	strikes, terrain := group.Policy.Strikes, r.terrain(&s, rules, limits)
	spec, err := group.Traps.On(terrain, strikes)
	if err != nil {
		return Preview{}, err
	}
	to := s.Pending.To
	return Preview{
		Group:  group.Name,
		Plan:   portsnare.Diff(rules, group.wanted(to.Ports().Ranges())),
		Way:    s.Pending.Way,
		Used:   len(to.Ports().Ranges()),
		Budget: terrain.Budget,
		Traps:  to.Ports().Len(),

		Outlook:  spec.Outlook(terrain, strikes),
		Others:   group.Traps.Alternatives(terrain, strikes),
		Warnings: spec.Warnings(terrain, strikes),
	}, nil
}

// noFleet knows no host.
type noFleet struct{ Fleet }

func (noFleet) Report(string) (portsnare.Report, bool) { return portsnare.Report{}, false }
