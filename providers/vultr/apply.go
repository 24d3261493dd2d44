package vultr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/vultr/govultr/v3"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
)

// Apply carries out a plan with one write for each opening and for each rule to
// close. It opens as long as the group has room, then it closes; with openings
// left it closes and opens in turn, so that as many traps as possible are open
// at every moment.
//
// The write that fails is the last. What it was to change is not in Done,
// although the change may have been made where only the reply was lost: the
// next Rules tells. A rule to close that is no longer what the plan says is
// [portsnare.Conflict] and stays. Between the look at it and its removal nothing
// else is waited for, but Vultr has no call that does both at once.
//
// A plan that would close a rule without our mark is [portsnare.Invalid] and
// changes nothing.
func (f *Firewall) Apply(ctx context.Context, plan portsnare.Plan) (portsnare.Done, error) {
	if err := f.check(plan); err != nil {
		return portsnare.Done{}, err
	}
	w := work{opens: distinct(plan.Open), closes: distinct(plan.Close)}
	if len(w.opens) > 0 && len(w.closes) > 0 {
		g, err := f.group(ctx)
		if err != nil {
			return portsnare.Done{}, err
		}
		w.room = g.MaxRuleCount - g.RuleCount
	}
	for len(w.opens)+len(w.closes) > 0 {
		if err := f.next(ctx, &w); err != nil {
			return w.done, err
		}
	}
	return w.done, nil
}

// Writes returns how many calls carry out a plan.
func (f *Firewall) Writes(plan portsnare.Plan) int {
	return len(distinct(plan.Open)) + len(distinct(plan.Close))
}

// check is the last gate before a write; see [portsnare.Plan.Check].
func (f *Firewall) check(plan portsnare.Plan) error {
	if err := plan.Check(append([]portsnare.Mark{f.mark}, f.former...)...); err != nil {
		return invalid("carry out a plan for", f.groupID, failure.Local(err), "")
	}
	for _, r := range plan.Close {
		if _, err := strconv.Atoi(r.ID); err != nil {
			return invalid("carry out a plan for", f.groupID, failure.Ownf("rule %q has no number", r.ID), "")
		}
	}
	return nil
}

// distinct returns items without those that came before.
func distinct[T comparable](items []T) []T {
	var first []T
	for _, item := range items {
		if !slices.Contains(first, item) {
			first = append(first, item)
		}
	}
	return first
}

// work is what is left of a plan, and what came of the rest.
type work struct {
	opens  []portsnare.Opening
	closes []portsnare.Rule
	room   int // rules that the group can take, as far as is known
	done   portsnare.Done
}

// next makes one write. A group that has less room than it said takes an opening
// when something was closed.
func (f *Firewall) next(ctx context.Context, w *work) error {
	if len(w.opens) > 0 && (w.room > 0 || len(w.closes) == 0) {
		o := w.opens[0]
		wrote, err := f.open(ctx, o)
		w.done.Writes += wrote
		if errors.Is(err, portsnare.LimitExceeded) && len(w.closes) > 0 {
			w.room = 0
			return nil
		}
		if err == nil {
			w.done.Opened = append(w.done.Opened, o)
			w.opens, w.room = w.opens[1:], w.room-1
		}
		return err
	}
	r := w.closes[0]
	if err := f.close(ctx, r); err != nil {
		return err
	}
	w.done.Writes++
	w.done.Closed = append(w.done.Closed, r)
	w.closes, w.room = w.closes[1:], w.room+1
	return nil
}

// open makes a rule and returns how many it made, which it may beside an error:
// one that is not what was asked for.
func (f *Firewall) open(ctx context.Context, o portsnare.Opening) (wrote int, err error) {
	made, err := call(ctx, f, create, func(ctx context.Context) (*govultr.FirewallRule, error) {
		made, _, err := f.client.FirewallRule.Create(ctx, f.groupID, fromOpening(o, f.mark))
		return made, err
	})
	if err != nil {
		return 0, f.full(ctx, err)
	}
	want := portsnare.Rule{ID: strconv.Itoa(made.ID), Opening: o, Mark: f.mark}
	if got := toRule(*made); got != want {
		return 1, invalid(create.op, f.groupID, failure.Ownf("rule %s was made with other ports, sources or notes than were asked for", got.ID), "look at the rule, and remove it by hand")
	}
	return 1, nil
}

// full tells the refusal of a rule for want of room from any other, which Vultr
// does not by anything that is documented: it asks whether there is room.
func (f *Firewall) full(ctx context.Context, err error) error {
	var refused *portsnare.Error
	if !errors.As(err, &refused) || statusOf(err) != http.StatusBadRequest || refused.Kind != portsnare.Invalid {
		return err
	}
	g, groupErr := f.group(ctx)
	if groupErr != nil || g.RuleCount < g.MaxRuleCount {
		return err
	}
	full := *refused
	full.Kind, full.Hint = portsnare.LimitExceeded, fmt.Sprintf(hintFull, g.RuleCount, g.MaxRuleCount)
	return &full
}

func (f *Firewall) close(ctx context.Context, r portsnare.Rule) error {
	number, err := strconv.Atoi(r.ID)
	if err != nil {
		return err // check has been there
	}
	// Both calls get their turn before the first, so that none waits between.
	if err := f.wait(ctx, remove, 2); err != nil {
		return err
	}
	stands, err := callNow(ctx, f, look, func(ctx context.Context) (*govultr.FirewallRule, error) {
		stands, _, err := f.client.FirewallRule.Get(ctx, f.groupID, number)
		return stands, err
	})
	if err != nil {
		return err
	}
	if now := toRule(*stands); now != r {
		return f.failure(portsnare.Conflict, remove, failure.Ownf("rule %s is no longer what it was when the plan was made", r.ID), "")
	}
	_, err = callNow(ctx, f, remove, func(ctx context.Context) (*struct{}, error) {
		return &struct{}{}, f.client.FirewallRule.Delete(ctx, f.groupID, number)
	})
	return err
}
