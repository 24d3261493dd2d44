package digitalocean

import (
	"context"

	"github.com/digitalocean/godo"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
)

// Apply carries out a plan in two writes, one that adds rules and one that
// removes them, or with Options.Replace in one for both. It adds first, save
// where there is no room for both or a new rule overlaps an old one. After each
// write it waits until the Droplets have it.
//
// What stands already, and what is gone already, is neither sent nor in Done.
// Nor is what a write that fails was to change, although the change may have
// been made where only the reply was lost: the next Rules tells.
//
// A plan that would close a rule without our mark, or any in a firewall of another
// owner or group, is [portsnare.Invalid] and
// changes nothing.
func (f *Firewall) Apply(ctx context.Context, plan portsnare.Plan) (portsnare.Done, error) {
	var done portsnare.Done
	if err := f.check(plan); err != nil {
		return done, err
	}
	if plan.Empty() {
		return done, nil
	}
	fw, err := f.settled(ctx)
	if err != nil {
		return done, err
	}
	c, err := fold(fw.InboundRules, plan, f.mark)
	if err != nil {
		return done, invalid("read the rules of", f.id, err, hintRule)
	}
	if len(c.add)+len(c.remove) == 0 {
		return done, nil
	}
	if err := f.checkRoom(fw, c); err != nil {
		return done, err
	}
	w := &writer{f, fw, c, &done}
	if f.replace {
		return done, w.put(ctx)
	}
	return done, w.change(ctx)
}

// Writes returns how many calls carry out a plan that opens and closes port
// ranges for all their sources.
func (f *Firewall) Writes(plan portsnare.Plan) int {
	writes := min(1, len(plan.Open)) + min(1, len(plan.Close))
	if f.replace {
		return min(1, writes)
	}
	return writes
}

// check is the last gate before a write; see [portsnare.Plan.Check].
func (f *Firewall) check(plan portsnare.Plan) error {
	if err := plan.Check(append([]portsnare.Mark{f.mark}, f.former...)...); err != nil {
		return invalid("carry out a plan for", f.id, failure.Local(err), "")
	}
	return nil
}

// checkRoom knows the limit before DigitalOcean tells it.
func (f *Firewall) checkRoom(fw *godo.Firewall, c change) error {
	if n := len(fw.InboundRules) + len(fw.OutboundRules) + len(c.add) - len(c.remove); n > MaxRules && len(c.add) > 0 {
		return f.failure(opAdd, portsnare.LimitExceeded, failure.Ownf("it would hold %d rules, inbound and outbound; %d are allowed", n, MaxRules), hintLimit)
	}
	for _, r := range c.add {
		if n := len(r.Sources.Addresses); n > maxSources {
			return f.failure(opAdd, portsnare.LimitExceeded, failure.Ownf("a rule would have %d sources; %d are allowed", n, maxSources), hintSources)
		}
	}
	return nil
}
