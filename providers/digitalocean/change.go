package digitalocean

import (
	"slices"

	"github.com/digitalocean/godo"

	"github.com/portsnare/portsnare"
)

// change is a plan folded to whole rules, the only thing that DigitalOcean adds
// and removes.
type change struct {
	add    []godo.InboundRule
	remove []removal
	// overlaps: a rule to be added shares ports and sources with one to be
	// removed, so that one goes first: how DigitalOcean takes both at once is
	// nowhere said.
	overlaps bool
	opened   []portsnare.Opening // of the plan, by add
}

// removal is a rule that is to go, as it stands, and what that closes of the
// plan.
type removal struct {
	rule   godo.InboundRule
	closed []portsnare.Rule
}

// fold makes for every port range that the plan speaks of one rule with all the
// sources that it shall have, in the place of those of ours that stand. What the
// plan wants and stands already, or is gone already, is left out.
func fold(standing []godo.InboundRule, plan portsnare.Plan, mark portsnare.Mark) (change, error) {
	var c change
	var touched []portsnare.PortRange
	for _, o := range plan.Open {
		touched = append(touched, o.Range)
	}
	for _, r := range plan.Close {
		touched = append(touched, r.Opening.Range)
	}
	ours, others, err := byRange(standing, plan.Held, mark)
	if err != nil {
		return c, err
	}
	for i, ports := range touched {
		if !slices.Contains(touched[:i], ports) {
			c.foldRange(ports, ours[ports], others, plan)
		}
	}
	return c, nil
}

// standingRule is a rule and what it admits.
type standingRule struct {
	godo.InboundRule
	told []portsnare.Rule
}

// byRange parts rules into those that may be changed, by their ports, and what
// is admitted by all others that stand for good.
func byRange(standing []godo.InboundRule, held []portsnare.Rule, mark portsnare.Mark) (map[portsnare.PortRange][]standingRule, []portsnare.Opening, error) {
	ours := map[portsnare.PortRange][]standingRule{}
	var others []portsnare.Opening
	for _, r := range standing {
		told, err := toRules(r, mark)
		if err != nil {
			return nil, nil, err
		}
		isHeld := slices.ContainsFunc(held, func(h portsnare.Rule) bool { return h.ID == told[0].ID })
		switch {
		case told[0].Mark == mark && !isHeld:
			ports := told[0].Opening.Range
			ours[ports] = append(ours[ports], standingRule{r, told})
		case !told[0].Deny:
			for _, t := range told {
				others = append(others, t.Opening)
			}
		}
	}
	return ours, others, nil
}

// foldRange works out what becomes of the rules of ours for one port range.
func (c *change) foldRange(ports portsnare.PortRange, ours []standingRule, others []portsnare.Opening, plan portsnare.Plan) {
	var have, want []portsnare.Opening
	for _, r := range ours {
		for _, t := range r.told {
			have = append(have, t.Opening)
			if !slices.Contains(plan.Close, t) {
				want = append(want, t.Opening)
			}
		}
	}
	for _, o := range plan.Open {
		if o.Range == ports && !slices.Contains(others, o) && !slices.Contains(want, o) {
			want = append(want, o)
			if !slices.Contains(have, o) {
				c.opened = append(c.opened, o)
			}
		}
	}
	for _, r := range c.replaceRange(ports, ours, want) {
		closed := slices.DeleteFunc(slices.Clone(r.told), func(t portsnare.Rule) bool { return !slices.Contains(plan.Close, t) })
		c.remove = append(c.remove, removal{r.InboundRule, closed})
	}
}

// replaceRange lets one rule stand that admits ports to the sources of want, and
// returns those of ours that go.
func (c *change) replaceRange(ports portsnare.PortRange, ours []standingRule, want []portsnare.Opening) (gone []standingRule) {
	sources := sourcesOf(want)
	kept := len(sources) == 0 // nothing is to be made
	for _, r := range ours {
		had := make([]portsnare.Opening, 0, len(r.told))
		for _, t := range r.told {
			had = append(had, t.Opening)
		}
		if !kept && slices.Equal(sourcesOf(had), sources) {
			kept = true
			continue
		}
		gone = append(gone, r)
		c.overlaps = c.overlaps || slices.ContainsFunc(had, func(o portsnare.Opening) bool { return slices.Contains(want, o) })
	}
	if !kept {
		c.add = append(c.add, fromOpenings(ports, sources))
	}
	return gone
}

// sourcesOf returns the sources of openings, each once, IPv4 first.
func sourcesOf(openings []portsnare.Opening) []portsnare.Source {
	var sources []portsnare.Source
	for _, o := range openings {
		sources = append(sources, o.Source)
	}
	slices.SortFunc(sources, portsnare.Source.Compare)
	return slices.Compact(sources)
}

// batches parts removals so that no two for the same ports, which may overlap,
// are in one request: DigitalOcean refuses one that it takes to hold a rule
// twice. Only somebody else makes two such rules, so one batch is the rule.
func (c *change) batches() [][]removal {
	var batches [][]removal
	seen := map[string]int{}
	for _, r := range c.remove {
		ports := r.rule.Protocol + " " + r.rule.PortRange
		i := seen[ports]
		seen[ports]++
		if i == len(batches) {
			batches = append(batches, nil)
		}
		batches[i] = append(batches[i], r)
	}
	return batches
}
