package rotator

import (
	"context"

	"github.com/portsnare/portsnare"
)

// Repair compares the firewall with what it should hold and mends what others
// changed: an opening of ours that vanished is put back, one that no generation
// owns is removed, and where a foreign rule opens one of our traps (or a trap
// has become protected) the group moves to a new trap set. A host that has not
// armed the present order gets it again. A pending rotation is resumed instead.
func (r *Rotator) Repair(ctx context.Context) error {
	return r.exclusively(ctx, func(s *state) error {
		if s.Pending != nil {
			return r.carryOut(ctx, s)
		}
		if s.Current.Generation == 0 {
			return nil
		}
		taken, err := r.taken(ctx, s)
		if err != nil {
			return err
		}
		if !taken.Empty() {
			r.log.Warn(msgTaken, keyPorts, taken.Len())
			if err := r.begin(ctx, s); err != nil {
				return err
			}
			return r.carryOut(ctx, s)
		}
		if err := r.remind(ctx, s); err != nil {
			return err
		}
		return r.mend(ctx, s)
	})
}

// taken returns the traps that can no longer be traps.
func (r *Rotator) taken(ctx context.Context, s *state) (portsnare.PortSet, error) {
	rules, err := r.rules(ctx)
	if err != nil {
		return portsnare.PortSet{}, err
	}
	_, foreign := portsnare.Ours(rules, r.group.Mark())
	open := portsnare.OpenPorts(foreign).Union(r.group.Protected)
	return s.Current.Ports().Intersect(open), nil
}

// remind sends the present order to every host that has not reported it armed,
// such as one that joined since the last rotation.
func (r *Rotator) remind(ctx context.Context, s *state) error {
	for _, host := range r.group.Hosts {
		order := r.group.order(host, s.Current.Generation, s.Current.Traps)
		report, ok := r.fleet.Report(host)
		if ok {
			r.metrics.reported(report)
		}
		if ok && report.Carries(order) {
			continue
		}
		if err := r.fleet.Send(ctx, order); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rotator) mend(ctx context.Context, s *state) error {
	want := r.group.wanted(s.Current.Ports().Ranges())
	changed, err := r.apply(ctx, want)
	if err != nil || !changed {
		return err
	}
	r.log.Warn(msgDrift)
	r.metrics.repaired(r.group.Name)
	return r.verify(ctx, want)
}
