package rotator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/portsnare/portsnare"
)

// settlePause is between the two reads that have to agree before hosts disarm.
const settlePause = time.Second

// wanted returns what the group's firewall shall hold of ours.
func (r *Rotator) wanted(ranges []portsnare.PortRange) portsnare.Wanted {
	return portsnare.Wanted{
		Mark:      r.group.Mark(),
		Former:    r.formerMarks(),
		Openings:  portsnare.OpeningsOf(ranges, r.group.Sources...),
		Protected: r.group.Protected,
	}
}

// apply brings a firewall to what is wanted. It reports whether anything had to
// be changed.
func (r *Rotator) apply(ctx context.Context, s *state, firewall Firewall, want portsnare.Wanted) (changed bool, err error) {
	return retry(ctx, func() (bool, error) { return r.applyOnce(ctx, s, firewall, want) })
}

func (r *Rotator) applyOnce(ctx context.Context, s *state, firewall Firewall, want portsnare.Wanted) (changed bool, err error) {
	rules, err := firewall.Rules(ctx)
	if err != nil {
		return false, err
	}
	plan := portsnare.Diff(rules, want)
	for _, held := range plan.Held {
		r.log.Warn(msgHeld, keyRule, held.ID)
	}
	if plan.Empty() {
		return false, nil
	}
	if err := fence(ctx, r.store, r.key, s); err != nil {
		return false, stale{err}
	}
	done, err := firewall.Apply(ctx, plan)
	r.metrics.wrote(r.group.Name, done)
	return true, err
}

// stale is a conflict over the state: trying again with the same state is no use.
type stale struct{ error }

func (e stale) Unwrap() error { return e.error }

// verify reads the firewall again until it holds what is wanted. A cloud may
// show a change late, and somebody may have interfered: both are mended by
// applying once more.
func (r *Rotator) verify(ctx context.Context, s *state, firewall Firewall, want portsnare.Wanted) error {
	_, err := retry(ctx, func() (bool, error) {
		changed, err := r.applyOnce(ctx, s, firewall, want)
		if err == nil && changed {
			err = &portsnare.Error{Kind: portsnare.Transient, Op: "verify", Subject: "group " + r.group.Name,
				Err: errors.New("the firewall did not hold what was asked of it")}
		}
		return changed, err
	})
	return err
}

// settle demands that two reads agree, and that both show what is wanted and that
// nothing is left elsewhere. It changes nothing; errUnsettled says that it is not so.
func (r *Rotator) settle(ctx context.Context, want portsnare.Wanted) error {
	var before []portsnare.Rule
	for reads := range 2 {
		if reads > 0 && r.group.CloudFirewall {
			if err := sleep(ctx, settlePause); err != nil {
				return err
			}
		}
		now, err := r.standing(ctx)
		if err != nil {
			return err
		}
		ours := now.all()
		sortRules(ours)
		if !portsnare.Diff(now.rules, want).Empty() || !r.closed(now) || reads > 0 && !slices.Equal(ours, before) {
			return errUnsettled
		}
		before = ours
	}
	return nil
}

// closed reports whether all that can be closed in other firewalls is.
func (r *Rotator) closed(now standing) bool {
	for _, e := range now.elsewhere {
		if !portsnare.Diff(e.rules, r.nothing(e.Former)).Empty() {
			return false
		}
	}
	return true
}

func sortRules(rules []portsnare.Rule) {
	slices.SortFunc(rules, func(a, b portsnare.Rule) int {
		return strings.Compare(a.ID+" "+a.Opening.String(), b.ID+" "+b.Opening.String())
	})
}

// limits returns how much the group's firewall can hold.
func (r *Rotator) limits(ctx context.Context) (portsnare.Limits, error) {
	return retry(ctx, func() (portsnare.Limits, error) { return r.firewall.Limits(ctx) })
}
