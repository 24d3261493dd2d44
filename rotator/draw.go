package rotator

import (
	"errors"
	"fmt"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/placement"
)

// maxClaims is how many ports one host may keep from becoming traps by listening
// on them. A server listens on some dozens. A host that claims more is broken or
// compromised; its claim is ignored and shown, and the group goes on.
const maxClaims = 1024

// maxLead bounds how far a host's report may push the generation of its group. It
// is more than a group draws in three years, and can be repeated for longer than
// numbers last.
const maxLead = 10_000_000

// draw makes a new trap set the pending one. What was pending is given up: its
// traps stay armed until all of them are closed.
func (r *Rotator) draw(s *state, now standing, limits portsnare.Limits) error {
	s.retire(r.group.Protected, time.Now())
	traps, err := r.drawTraps(s, now, limits)
	if err != nil {
		return err
	}
	var doubtful portsnare.Traps
	if s.Pending != nil {
		doubtful = s.Pending.Traps()
	}
	s.Pending = &rotation{
		Move:  portsnare.Move{Stale: doubtful, To: portsnare.TrapSet{Generation: r.newest(s) + 1, Traps: traps}},
		Drawn: r.settings(),
	}
	r.plan(s, now, limits)
	return nil
}

func (r *Rotator) drawTraps(s *state, now standing, limits portsnare.Limits) (portsnare.Traps, error) {
	if r.group.Retired {
		return portsnare.Traps{}, nil
	}
	terrain := r.terrain(s, now, limits)
	if !r.left.Empty() {
		// Nothing that hosts have left behind is opened again, so that one rotation
		// closes all of it, if there are enough other ports.
		narrow := terrain
		narrow.Avoid = terrain.Avoid.Union(r.left)
		if traps, err := r.drawOn(narrow); err == nil {
			return traps, nil
		}
	}
	return r.drawOn(terrain)
}

func (r *Rotator) drawOn(terrain placement.Terrain) (portsnare.Traps, error) {
	spec, err := r.group.Traps.On(terrain, r.group.Policy.Strikes)
	if err != nil {
		return portsnare.Traps{}, err
	}
	return placement.Draw(r.rng, spec, terrain)
}

// plan finds the way from where the group stands to the pending trap set.
func (r *Rotator) plan(s *state, now standing, limits portsnare.Limits) {
	from := portsnare.Standing{Current: s.Current, Doubtful: s.Pending.Traps().Union(s.Inherited), Open: r.armable(now)}
	s.Pending.Move = from.MoveTo(s.Pending.To, r.budget(s, now, limits), limits)
	s.Pending.At = ""
}

// armable returns the ports that are open under a mark of ours and can be armed.
func (r *Rotator) armable(now standing) portsnare.PortSet { return now.open().Minus(r.group.Protected) }

// terrain returns what the next draw has to respect.
func (r *Rotator) terrain(s *state, now standing, limits portsnare.Limits) placement.Terrain {
	return placement.Terrain{
		Hidden:   r.group.Protected.Minus(r.group.Public),
		Avoid:    r.avoid(s, now),
		Budget:   r.budget(s, now, limits),
		Previous: s.Current.Traps,
		Overlap:  !limits.InPlace,
	}
}

// avoid returns every port that must not become a trap. Those open under a former
// mark are among them: a cloud does not take the same opening twice.
func (r *Rotator) avoid(s *state, now standing) portsnare.PortSet {
	ports := r.group.Protected.
		Union(r.group.Avoid).
		Union(s.retiredPorts()).
		Union(portsnare.OpenPorts(now.foreign)).
		Union(now.under(r.formerMarks()...))
	for _, host := range r.hosts() {
		if report, ok := r.fleet.Report(host); ok {
			listening, _ := r.claims(report)
			ports = ports.Union(listening)
		}
	}
	return ports
}

// claims returns the ports, beside the protected ones, that a host says it listens
// on. A claim that is too large is ignored and an error that names the host.
func (r *Rotator) claims(report portsnare.Report) (portsnare.PortSet, error) {
	listening := report.Listening.Minus(r.group.Protected)
	if n := listening.Len(); n > maxClaims {
		return portsnare.PortSet{}, errors.New(report.Host + " claims to listen on " + thousands(n) + " ports; the claim is ignored")
	}
	return listening, nil
}

// newest returns the largest generation that the state or a host of the group
// knows: a store that was lost or restored makes no generation smaller.
func (r *Rotator) newest(s *state) portsnare.Generation {
	known := s.generation()
	newest := known
	for _, host := range r.group.Hosts {
		if report, ok := r.fleet.Report(host); ok && report.Generation <= known+maxLead {
			newest = max(newest, report.Generation)
		}
	}
	return newest
}

// thousands writes n as people read it: 65,535.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
