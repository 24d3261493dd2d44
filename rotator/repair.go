package rotator

import (
	"context"

	"github.com/portsnare/portsnare"
)

// repair brings the firewall back to the current trap set. It takes the same steps
// as a rotation does, to a set of the same generation, so that hosts are armed
// before the cloud opens anything, and disarmed behind it.
func (r *Rotator) repair(ctx context.Context, s *state, now standing, limits portsnare.Limits) error {
	switch {
	case s.Pending != nil:
		return r.rotate(ctx, s, now, limits)
	case s.Current.Generation == 0 && now.open().Empty():
		return nil
	case s.Current.Generation == 0 || !r.started && r.newest(s) > s.Current.Generation:
		r.log.Warn(msgRenew, keyReason, "the store is older than what the hosts or the firewall hold")
		return r.renew(ctx, s, now, limits)
	}
	if reason := r.outdated(s, now, limits); reason != "" {
		r.log.Warn(msgRenew, keyReason, reason)
		return r.renew(ctx, s, now, limits)
	}
	if portsnare.Diff(now.rules, r.wanted(s.Current.Ports().Ranges())).Empty() && r.closed(now) {
		return r.forget(ctx, s) // what an attempt that was cut short has left to be forgotten
	}
	s.Pending = &rotation{Move: portsnare.Move{To: s.Current}}
	r.plan(s, now, limits)
	return r.carryOut(ctx, s)
}
