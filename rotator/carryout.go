package rotator

import (
	"context"
	"errors"
	"time"

	"github.com/portsnare/portsnare"
)

// carryOut does what is left of the pending rotation. The state is saved before
// every step; each step names the state to be reached, so the one that was cut
// short is simply done again.
func (r *Rotator) carryOut(ctx context.Context, s *state) error {
	began := time.Now()
	steps := portsnare.Steps(s.Current, s.Pending.To, s.Pending.Way)
	if s.Pending.Step > 0 {
		// The hosts may have lost what they were told while nobody watched.
		if err := r.arm(ctx, s, steps[0].Traps); err != nil {
			return r.failed(err)
		}
	}
	for s.Pending.Step < len(steps) {
		step := steps[s.Pending.Step]
		if err := saveState(ctx, r.store, r.group.Name, s); err != nil {
			return r.failed(err)
		}
		r.log.Info(msgStep, keyGeneration, s.Pending.To.Generation, keyStep, step.Kind, keyIndex, s.Pending.Step)
		if err := r.do(ctx, s, step); err != nil {
			return r.failed(err)
		}
		s.Pending.Step++
	}
	s.Current, s.Pending, s.RotatedAt = s.Pending.To, nil, time.Now()
	if err := saveState(ctx, r.store, r.group.Name, s); err != nil {
		return r.failed(err)
	}
	r.log.Info(msgRotated, keyGeneration, s.Current.Generation, keyTook, time.Since(began))
	r.metrics.rotated(r.group.Name, s.Current.Generation, time.Since(began))
	return nil
}

func (r *Rotator) failed(err error) error {
	r.metrics.failed(r.group.Name)
	return err
}

func (r *Rotator) do(ctx context.Context, s *state, step portsnare.Step) error {
	switch step.Kind {
	case portsnare.StepArm:
		return r.arm(ctx, s, step.Traps)
	case portsnare.StepVerify:
		return r.verify(ctx, r.group.wanted(step.Ranges))
	case portsnare.StepGrace:
		return sleep(ctx, r.group.Grace)
	}
	_, err := r.apply(ctx, r.group.wanted(step.Ranges)) // open, close, swap
	return err
}

// arm sends every host its order and waits for every report.
func (r *Rotator) arm(ctx context.Context, s *state, traps portsnare.Traps) error {
	generation := s.Current.Generation
	if s.Pending != nil {
		generation = s.Pending.To.Generation
	}
	orders := make([]portsnare.Order, 0, len(r.group.Hosts))
	for _, host := range r.group.Hosts {
		order := r.group.order(host, generation, traps)
		if err := r.fleet.Send(ctx, order); err != nil {
			return err
		}
		orders = append(orders, order)
	}
	err := r.await(ctx, orders)
	if err != nil && r.group.OnMissing == Proceed && ctx.Err() == nil {
		r.log.Warn(msgProceeding, keyError, err)
		return nil
	}
	return err
}

// await waits for all hosts under one deadline and tells of every one missing.
func (r *Rotator) await(ctx context.Context, orders []portsnare.Order) error {
	ctx, cancel := context.WithTimeout(ctx, r.group.ReportTimeout)
	defer cancel()
	var missing []error
	for _, order := range orders {
		if err := r.fleet.Await(ctx, order); err != nil {
			missing = append(missing, err)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &portsnare.Error{
		Kind: portsnare.Transient, Op: "arm", Subject: "group " + r.group.Name, Err: errors.Join(missing...),
		Hint: "look at the agent on that host; or set `on_missing: proceed` for the group",
	}
}

// apply brings the firewall to what is wanted. It reports whether anything had
// to be changed.
func (r *Rotator) apply(ctx context.Context, want portsnare.Wanted) (changed bool, err error) {
	return retry(ctx, func() (bool, error) { return r.applyOnce(ctx, want) })
}

func (r *Rotator) applyOnce(ctx context.Context, want portsnare.Wanted) (changed bool, err error) {
	rules, err := r.firewall.Rules(ctx)
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
	done, err := r.firewall.Apply(ctx, plan)
	r.metrics.wrote(r.group.Name, done)
	return true, err
}

// verify reads the firewall again until it holds what is wanted. A cloud may
// show a change late, and somebody may have interfered: both are mended by
// applying once more.
func (r *Rotator) verify(ctx context.Context, want portsnare.Wanted) error {
	_, err := retry(ctx, func() (bool, error) {
		changed, err := r.applyOnce(ctx, want)
		if err == nil && changed {
			err = &portsnare.Error{Kind: portsnare.Transient, Op: "verify", Subject: "group " + r.group.Name,
				Err: errors.New("the firewall did not hold what was asked of it")}
		}
		return changed, err
	})
	return err
}

func (r *Rotator) rules(ctx context.Context) ([]portsnare.Rule, error) {
	return retry(ctx, func() ([]portsnare.Rule, error) { return r.firewall.Rules(ctx) })
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
