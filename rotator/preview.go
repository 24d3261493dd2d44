package rotator

import (
	"context"
	"math/rand/v2"

	"github.com/portsnare/portsnare"
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
	// Chance that one source that scans all ports in random order meets a given
	// protected port before its ban: K/(T+1) with T traps that can fire.
	Chance float64 `json:"chance"`
}

// NewPreview reads the firewall, changes nothing, and says what a rotation
// would do. What is ours there counts as the present trap set.
func NewPreview(ctx context.Context, group Group, firewall Firewall, rng *rand.Rand) (Preview, error) {
	r := &Rotator{group: group, firewall: firewall, fleet: noFleet{}, rng: rng}
	rules, limits, err := r.read(ctx)
	if err != nil {
		return Preview{}, err
	}
	ours, foreign := portsnare.Ours(rules, group.Mark())
	s := state{Current: portsnare.TrapSet{Traps: portsnare.Traps{Secret: portsnare.OpenPorts(ours)}}}
	if err := r.begin(ctx, &s); err != nil {
		return Preview{}, err
	}
	to := s.Pending.To
	return Preview{
		Group:  group.Name,
		Plan:   portsnare.Diff(rules, group.wanted(to.Ports().Ranges())),
		Way:    s.Pending.Way,
		Used:   len(to.Ports().Ranges()),
		Budget: limits.Budget(foreign, group.Sources...),
		Traps:  to.Ports().Len(),
		Chance: min(1, float64(group.Policy.Strikes)/float64(to.Firing().Len()+1)),
	}, nil
}

// noFleet knows no host.
type noFleet struct{ Fleet }

func (noFleet) Report(string) (portsnare.Report, bool) { return portsnare.Report{}, false }
