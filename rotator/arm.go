package rotator

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/portsnare/portsnare"
)

// arm has every host watch traps and whatever else is open under our marks, and
// waits for their reports.
func (r *Rotator) arm(ctx context.Context, s *state, traps portsnare.Traps) error {
	now, err := r.standing(ctx)
	if err != nil {
		return err
	}
	if err := fence(ctx, r.store, r.key, s); err != nil {
		return err
	}
	set := r.covering(s, now, traps)
	if err := r.send(ctx, r.hosts(), set); err != nil {
		return err
	}
	err = r.await(ctx, set)
	if err != nil && ctx.Err() == nil {
		// Another controller may have told the hosts something else meanwhile.
		if fenced := fence(ctx, r.store, r.key, s); fenced != nil {
			return fenced
		}
	}
	if err != nil && r.group.OnMissing == Proceed && ctx.Err() == nil {
		r.log.Warn(msgProceeding, keyError, err)
		return nil
	}
	return err
}

// covering returns a trap set of traps and of all that is open under our marks,
// whatever the reason that it is. What is open and was never drawn is bait: nobody
// is banned for it.
func (r *Rotator) covering(s *state, now standing, traps portsnare.Traps) portsnare.TrapSet {
	more := r.armable(now).Minus(traps.Ports())
	known := s.traps().Only(more)
	unknown := portsnare.Traps{Bait: more.Minus(known.Ports())}
	return portsnare.TrapSet{Generation: r.newest(s), Traps: traps.Union(known).Union(unknown)}
}

// cover sends an order to every host that does not carry it, such as one that
// joined or lost its state, and waits for nobody. It covers all that is or may
// become open, so it can be sent at any time.
func (r *Rotator) cover(ctx context.Context, s *state, now standing) error {
	set := r.covering(s, now, s.traps())
	var hosts []string
	for _, host := range r.hosts() {
		report, ok := r.fleet.Report(host)
		if ok {
			r.metrics.reported(report)
		}
		if (ok || !r.isLost(s, now)) && !r.fleet.Carries(host, set) {
			hosts = append(hosts, host)
		}
	}
	if len(hosts) == 0 {
		r.told(set)
		return nil
	}
	if err := fence(ctx, r.store, r.key, s); err != nil {
		return err
	}
	return r.send(ctx, hosts, set)
}

// isLost reports whether the store knows of no trap set although some of ours is
// open, so that only the hosts can tell its generation.
func (r *Rotator) isLost(s *state, now standing) bool {
	return s.generation() == 0 && !r.armable(now).Empty()
}

// introduced demands that each host has reported since the store was lost: an order
// with a smaller generation than its own would make it forget that one.
func (r *Rotator) introduced(ctx context.Context, s *state, now standing) error {
	if !r.isLost(s, now) || r.group.OnMissing == Proceed {
		return nil
	}
	ended, cancel := context.WithCancel(ctx)
	cancel() // ask what is known, wait for nothing
	var missing []error
	for _, host := range r.group.Hosts {
		if _, ok := r.fleet.Report(host); !ok {
			missing = append(missing, r.fleet.Await(ended, host, s.Current))
		}
	}
	if err := errors.Join(missing...); err != nil {
		return &portsnare.Error{Kind: portsnare.Transient, Op: "learn the generation of", Subject: "group " + r.group.Name, Err: err}
	}
	return nil
}

// hosts returns the hosts of the group and those that are leaving it.
func (r *Rotator) hosts() []string { return slices.Concat(r.group.Hosts, r.leaving) }

// present returns those of hosts that have reported a moment ago. One that is
// leaving the group may be gone for good, and nobody waits for it then.
func (r *Rotator) present(hosts []string) []string {
	return slices.DeleteFunc(slices.Clone(hosts), func(host string) bool {
		report, ok := r.fleet.Report(host)
		return !ok || time.Since(report.At).Abs() > silence
	})
}

func (r *Rotator) send(ctx context.Context, hosts []string, set portsnare.TrapSet) error {
	r.told(set)
	return r.fleet.Arm(ctx, hosts, set)
}

// await waits for all hosts under one deadline and tells of every one missing.
func (r *Rotator) await(ctx context.Context, set portsnare.TrapSet) error {
	ctx, cancel := context.WithTimeout(ctx, r.group.ReportTimeout)
	defer cancel()
	var missing []error
	for _, host := range slices.Concat(r.group.Hosts, r.present(r.leaving)) {
		if err := r.fleet.Await(ctx, host, set); err != nil {
			missing = append(missing, err)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &portsnare.Error{
		Kind: portsnare.Transient, Op: "arm", Subject: "group " + r.group.Name, Err: errors.Join(missing...),
		Hint: "check the agent on that host; or set `on_missing: proceed` for the group",
	}
}
