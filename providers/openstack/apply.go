package openstack

import (
	"context"
	"errors"
	"slices"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
)

// Apply carries out a plan in the fewest writes: one for all that opens, and
// one for each rule that closes. It opens before it closes; where the quota has
// no room for both it closes first, and no more than it must.
//
// The group is read once more before the first write. What stands there by now
// is not made again, what is gone needs no closing, and neither is in Done. What
// a write that fails was to change is not in Done either, although the change
// may have been made where only the reply was lost: the next Rules tells.
//
// A plan that would close a rule without our mark is [portsnare.Invalid] and
// changes nothing.
func (f *Firewall) Apply(ctx context.Context, plan portsnare.Plan) (portsnare.Done, error) {
	var done portsnare.Done
	if err := f.check(plan); err != nil || plan.Empty() {
		return done, err
	}
	group, err := f.read(ctx)
	if err != nil {
		return done, err
	}
	opens := missing(group, plan.Open)
	closes, err := standing(group, plan.Close)
	if err != nil {
		return done, err
	}
	first, err := f.closeFirst(ctx, group, len(opens), len(closes))
	if err != nil {
		return done, err
	}
	if err := f.closeAll(ctx, closes[:first], &done); err != nil {
		return done, err
	}
	if err := f.open(ctx, group, opens, &done); err != nil {
		return done, err
	}
	return done, f.closeAll(ctx, closes[first:], &done)
}

// Writes returns how many calls carry out a plan.
func (f *Firewall) Writes(plan portsnare.Plan) int {
	closes := make(map[string]bool)
	for _, r := range plan.Close {
		closes[r.ID] = true
	}
	return min(1, len(plan.Open)) + len(closes)
}

// closeFirst returns how many of the rules to close have to go before there is
// room for those to be made. Where there is none even then, it is 0: Neutron
// shall refuse before anything has changed.
func (f *Firewall) closeFirst(ctx context.Context, group *groups.SecGroup, opens, closes int) (int, error) {
	if opens == 0 || closes == 0 {
		return 0, nil
	}
	quota, used, err := f.usage(ctx, group.ProjectID)
	if err != nil {
		return 0, err
	}
	short := used + opens - quota
	if quota < 0 || short < 0 || short > closes {
		return 0, nil
	}
	return short, nil
}

// check is the last gate before a write; see [portsnare.Plan.Check].
func (f *Firewall) check(plan portsnare.Plan) error {
	if err := plan.Check(append([]portsnare.Mark{f.mark}, f.former...)...); err != nil {
		return invalid("carry out a plan for", f.groupID, failure.Local(err), "")
	}
	return nil
}

// missing returns the openings that no rule of the group admits in just the same
// form, each once: Neutron refuses to make a rule twice.
func missing(group *groups.SecGroup, openings []portsnare.Opening) []portsnare.Opening {
	there := make(map[portsnare.Opening]bool)
	for _, r := range toRules(group.Rules) {
		there[r.Opening] = true
	}
	var absent []portsnare.Opening
	for _, o := range openings {
		if !there[o] {
			absent = append(absent, o)
		}
		there[o] = true
	}
	return absent
}

// standing is the second gate: it returns those of the rules to close that stand
// in the group, each with all that shares its id, and demands that they are what
// the plan says.
func standing(group *groups.SecGroup, closes []portsnare.Rule) ([][]portsnare.Rule, error) {
	now := make(map[string][]portsnare.Rule)
	for _, r := range toRules(group.Rules) {
		now[r.ID] = append(now[r.ID], r)
	}
	var found [][]portsnare.Rule
	for _, r := range closes {
		is := now[r.ID]
		if len(is) == 0 {
			continue
		}
		if !slices.Contains(is, r) {
			return nil, failure.New(portsnare.Conflict, "openstack: close a rule of", group.ID,
				failure.Ownf("rule %s is no longer what it was when the plan was made", r.ID), "")
		}
		found = append(found, is)
		delete(now, r.ID)
	}
	return found, nil
}

// open makes all the rules, or none.
func (f *Firewall) open(ctx context.Context, group *groups.SecGroup, openings []portsnare.Opening, done *portsnare.Done) error {
	if len(openings) == 0 {
		return nil
	}
	asked := fromOpenings(openings, f.mark, group)
	_, err := call(ctx, f, opening, func(ctx context.Context, client *gophercloud.ServiceClient) ([]rules.SecGroupRule, error) {
		made, err := rules.CreateBulk(ctx, client, asked).Extract()
		if err == nil && len(made) != len(asked) {
			err = errOddAnswer
		}
		return made, err
	})
	if err != nil {
		return err
	}
	done.Writes++
	done.Opened = append(done.Opened, openings...)
	return nil
}

// closeAll deletes rules one by one, as Neutron wants it.
func (f *Firewall) closeAll(ctx context.Context, closes [][]portsnare.Rule, done *portsnare.Done) error {
	for _, same := range closes {
		_, err := call(ctx, f, closing, func(ctx context.Context, client *gophercloud.ServiceClient) (struct{}, error) {
			return struct{}{}, rules.Delete(ctx, client, same[0].ID).ExtractErr()
		})
		switch {
		case errors.Is(err, portsnare.NotFound): // somebody was faster
		case err != nil:
			return err
		default:
			done.Writes++
			done.Closed = append(done.Closed, same...)
		}
	}
	return nil
}
