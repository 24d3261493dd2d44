package rotator

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/portsnare/portsnare"
)

// Bounds of waiting after a failed rotation or repair.
const (
	againFirst = 5 * time.Second
	againMax   = 5 * time.Minute
)

// Run rotates by the group's schedule and repairs in between, until ctx ends.
// A rotation that was cut short, or whose time came while no controller ran, is
// done at once. Failures are logged and tried again.
func (r *Rotator) Run(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = againFirst, againMax
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		err := r.attempt(ctx, r.whatIsDue)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			next := wait.NextBackOff() + portsnare.RetryAfterOf(err)
			r.log.Error(msgFailed, keyError, err, keyHint, portsnare.HintOf(err), keyAgainIn, next)
			timer.Reset(next)
		default:
			wait.Reset()
			timer.Reset(r.pause())
		}
	}
}

// whatIsDue rotates if it is time, and else repairs.
func (r *Rotator) whatIsDue(ctx context.Context, s *state, now standing, limits portsnare.Limits) error {
	if r.group.Retired {
		return r.retire(ctx, s, now, limits)
	}
	if err := r.placed(s, now); err != nil {
		return err
	}
	planned := s.NextAt
	if s.Pending != nil || r.due(s, time.Now()) {
		return r.rotate(ctx, s, now, limits)
	}
	if !s.NextAt.Equal(planned) {
		if err := r.save(ctx, s); err != nil {
			return err
		}
	}
	return r.repair(ctx, s, now, limits)
}

// retire closes what a group that is no longer configured has left open, disarms
// its hosts, and then has nothing more to do.
func (r *Rotator) retire(ctx context.Context, s *state, now standing, limits portsnare.Limits) error {
	if s.Pending == nil && s.Current.Generation > 0 && now.open().Empty() {
		return r.forget(ctx, s)
	}
	return r.rotate(ctx, s, now, limits)
}

// due reports whether the next rotation is due, which it plans if need be.
func (r *Rotator) due(s *state, now time.Time) bool {
	if r.group.Retired {
		return false
	}
	if s.Current.Generation == 0 {
		return true
	}
	if s.RotatedAt.After(now) { // the clock was ahead
		s.RotatedAt = now
	}
	s.NextAt = r.group.Schedule.next(s.RotatedAt, s.NextAt, r.rng)
	return !s.NextAt.After(now)
}

// pause returns how long there is nothing to do. The clock is read again at every
// repair, so that one that jumps delays nothing for longer.
func (r *Rotator) pause() time.Duration {
	next := r.shown().NextAt
	if next.IsZero() {
		return r.group.Repair
	}
	return max(0, min(r.group.Repair, time.Until(next)))
}
