package rotator

import (
	"context"
	"errors"
	"time"

	"github.com/portsnare/portsnare"
)

// maxBeginnings is how often one attempt begins a rotation from its first step
// because the cloud was not as it should be behind the grace time.
const maxBeginnings = 3

// errUnsettled says that the cloud is not as it was when the grace time began.
var errUnsettled = errors.New("the firewall changes while it is read")

// carryOut does what is left of the pending rotation.
func (r *Rotator) carryOut(ctx context.Context, s *state) error {
	began := time.Now()
	for beginning := 1; ; beginning++ {
		err := r.walk(ctx, s)
		if err == nil {
			return r.finish(ctx, s, time.Since(began))
		}
		if !errors.Is(err, errUnsettled) {
			return err
		}
		if beginning == maxBeginnings {
			return &portsnare.Error{Kind: portsnare.Transient, Op: "verify", Subject: "group " + r.group.Name, Err: err,
				Hint: "somebody else changes this firewall again and again: find out who"}
		}
		r.log.Warn(msgUnsettled, keyGeneration, s.Pending.To.Generation)
		if err := r.again(ctx, s); err != nil {
			return err
		}
	}
}

// again plans the way once more from what the firewall holds by now.
func (r *Rotator) again(ctx context.Context, s *state) error {
	now, err := r.standing(ctx)
	if err != nil {
		return err
	}
	limits, err := r.limits(ctx)
	if err == nil {
		r.plan(s, now, limits)
	}
	return err
}

// walk does the steps of the pending rotation from the one that may have been
// begun. The state is saved before every step; each step names the state to be
// reached, so the one that was cut short is simply done again.
func (r *Rotator) walk(ctx context.Context, s *state) error {
	steps := s.Pending.Steps()
	at := portsnare.StepIndex(steps, s.Pending.At)
	if at > 0 {
		// The hosts may have lost what they were told while nobody watched.
		if err := r.enter(ctx, s, steps[0]); err != nil {
			return err
		}
	}
	for i, step := range steps[at:] {
		s.Pending.At = step.ID
		if err := r.save(ctx, s); err != nil {
			return err
		}
		r.log.Info(msgStep, keyGeneration, s.Pending.To.Generation, keyStep, step.Kind, keyIndex, at+i)
		if err := r.do(ctx, s, step, at+i == 0); err != nil {
			return err
		}
	}
	return nil
}

// enter arms the hosts, and then closes what was left open in other firewalls.
func (r *Rotator) enter(ctx context.Context, s *state, step portsnare.Step) error {
	if err := r.save(ctx, s); err != nil {
		return err
	}
	if err := r.arm(ctx, s, step.Traps); err != nil {
		return err
	}
	return r.leave(ctx, s)
}

func (r *Rotator) do(ctx context.Context, s *state, step portsnare.Step, first bool) error {
	want := r.wanted(step.Ranges)
	switch step.Kind {
	case portsnare.StepArm:
		if first {
			return r.enter(ctx, s, step)
		}
		return r.arm(ctx, s, step.Traps)
	case portsnare.StepGrace:
		return sleep(ctx, r.group.Grace)
	case portsnare.StepSettle:
		return r.settle(ctx, want)
	case portsnare.StepVerify:
		return r.learn(ctx, s, r.verify(ctx, s, r.firewall, want))
	}
	_, err := r.apply(ctx, s, r.firewall, want) // open, close, swap
	return r.learn(ctx, s, err)
}

// learn notes a refusal for want of room, and returns err.
func (r *Rotator) learn(ctx context.Context, s *state, err error) error {
	if !errors.Is(err, portsnare.LimitExceeded) {
		return err
	}
	if now, readErr := r.standing(ctx); readErr == nil {
		r.refused(s, now)
		return errors.Join(err, r.save(ctx, s))
	}
	return err
}

// finish makes the pending trap set the current one.
func (r *Rotator) finish(ctx context.Context, s *state, took time.Duration) error {
	repaired := s.Pending.repairs(s)
	s.Current, s.Pending, s.Failure = s.Pending.To, nil, nil
	s.Inherited = portsnare.Traps{}
	if !repaired {
		s.RotatedAt, s.NextAt = time.Now(), time.Time{}
		r.due(s, s.RotatedAt)
	}
	if err := r.save(ctx, s); err != nil {
		return err
	}
	if repaired {
		r.log.Warn(msgDrift)
		r.metrics.repaired(r.group.Name)
	} else {
		r.log.Info(msgRotated, keyGeneration, s.Current.Generation, keyTook, took)
		r.metrics.rotated(r.group.Name, took)
	}
	return r.forget(ctx, s)
}

// save saves the state, and shows it.
func (r *Rotator) save(ctx context.Context, s *state) error {
	if err := saveState(ctx, r.store, r.key, s); err != nil {
		return err
	}
	r.show(*s)
	return nil
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
