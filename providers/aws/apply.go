package aws

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
)

// Apply carries out a plan in the fewest writes: one where it only opens, only
// closes, or closes and opens equally many of each IP family, else two. (Three,
// where one family has openings left and the other has closings.) What can be
// replaced in place is, so the group never holds more rules than it must; then
// it opens, then it closes. A rule with a former mark is never replaced in place,
// as it would keep that mark; where such rules leave no room, they go first.
//
// What a write that fails was to change is not in Done, although the change may
// have been made where only the reply was lost: the next Rules tells.
//
// A plan that would close a rule without our mark is [portsnare.Invalid] and
// changes nothing.
func (f *Firewall) Apply(ctx context.Context, plan portsnare.Plan) (portsnare.Done, error) {
	var done portsnare.Done
	if err := f.check(plan); err != nil {
		return done, err
	}
	w := fold(plan, f.mark)
	if err := f.swap(ctx, w.swaps, &done); err != nil {
		return done, err
	}
	err := f.open(ctx, w.opens, &done)
	full := errors.Is(err, portsnare.LimitExceeded) && slices.ContainsFunc(w.closes, f.isFormer)
	if err != nil && !full {
		return done, err
	}
	if err := f.close(ctx, w.closes, &done); err != nil || !full {
		return done, err
	}
	return done, f.open(ctx, w.opens, &done)
}

func (f *Firewall) isFormer(r portsnare.Rule) bool { return r.Mark != f.mark }

// check is the last gate before a write; see [portsnare.Plan.Check].
func (f *Firewall) check(plan portsnare.Plan) error {
	if err := plan.Check(append([]portsnare.Mark{f.mark}, f.former...)...); err != nil {
		return invalid("carry out a plan for", f.groupID, failure.Local(err), "")
	}
	return nil
}

// writes is a plan folded to what EC2 can do in one call each.
type writes struct {
	swaps  []swap // one ModifySecurityGroupRules
	opens  []portsnare.Opening
	closes []portsnare.Rule
}

// swap is a rule of ours and the opening that it becomes. Its id and its tags
// stay.
type swap struct {
	rule portsnare.Rule
	to   portsnare.Opening
}

// fold pairs openings with rules to close of the same IP family, as the type of
// a rule's source cannot change, and of our present mark, as its tags do not
// change either. Equal plans give equal pairs, so what is planned
// again from a list that lags behind changes nothing.
func fold(plan portsnare.Plan, mark portsnare.Mark) writes {
	var w writes
	free := map[int][]portsnare.Rule{} // rules to close, by the address length of their family
	for _, r := range distinct(plan.Close, func(r portsnare.Rule) string { return r.ID }) {
		if r.Mark != mark {
			w.closes = append(w.closes, r)
			continue
		}
		bits := r.Opening.Source.Addr().BitLen() // 0 for a source without a prefix
		free[bits] = append(free[bits], r)
	}
	for _, o := range distinct(plan.Open, func(o portsnare.Opening) portsnare.Opening { return o }) {
		bits := o.Source.Addr().BitLen()
		if len(free[bits]) == 0 {
			w.opens = append(w.opens, o)
			continue
		}
		w.swaps = append(w.swaps, swap{free[bits][0], o})
		free[bits] = free[bits][1:]
	}
	w.closes = slices.Concat(w.closes, free[32], free[128], free[0])
	return w
}

// Writes returns how many calls carry out a plan.
func (f *Firewall) Writes(plan portsnare.Plan) int {
	w := fold(plan, f.mark)
	return min(1, len(w.swaps)) + min(1, len(w.opens)) + min(1, len(w.closes))
}

// distinct returns the first of all items with the same key, in their order:
// EC2 refuses a call that names a rule twice.
func distinct[T any, K comparable](items []T, key func(T) K) []T {
	seen := make(map[K]bool, len(items))
	var first []T
	for _, item := range items {
		if k := key(item); !seen[k] {
			seen[k] = true
			first = append(first, item)
		}
	}
	return first
}

func (f *Firewall) swap(ctx context.Context, swaps []swap, done *portsnare.Done) error {
	if len(swaps) == 0 {
		return nil
	}
	in := &ec2.ModifySecurityGroupRulesInput{GroupId: &f.groupID}
	for _, s := range swaps {
		in.SecurityGroupRules = append(in.SecurityGroupRules, fromSwap(s, f.mark))
	}
	if _, err := call(ctx, f, f.client.ModifySecurityGroupRules, in); err != nil {
		return err
	}
	done.Writes++
	for _, s := range swaps {
		done.Opened, done.Closed = append(done.Opened, s.to), append(done.Closed, s.rule)
	}
	return nil
}

func (f *Firewall) open(ctx context.Context, openings []portsnare.Opening, done *portsnare.Done) error {
	if len(openings) == 0 {
		return nil
	}
	_, err := call(ctx, f, f.client.AuthorizeSecurityGroupIngress, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId:           &f.groupID,
		IpPermissions:     fromOpenings(openings, f.mark),
		TagSpecifications: fromMark(f.mark),
	})
	if err != nil {
		return err
	}
	done.Writes++
	done.Opened = append(done.Opened, openings...)
	return nil
}

func (f *Firewall) close(ctx context.Context, rules []portsnare.Rule, done *portsnare.Done) error {
	if len(rules) == 0 {
		return nil
	}
	in := &ec2.RevokeSecurityGroupIngressInput{GroupId: &f.groupID}
	for _, r := range rules {
		in.SecurityGroupRuleIds = append(in.SecurityGroupRuleIds, r.ID)
	}
	if _, err := call(ctx, f, f.client.RevokeSecurityGroupIngress, in); err != nil {
		return err
	}
	done.Writes++
	done.Closed = append(done.Closed, rules...)
	return nil
}
