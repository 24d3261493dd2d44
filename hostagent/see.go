package hostagent

import (
	"context"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// see tells of a hit and, where it was the last, of the ban.
func (a *Agent) see(ctx context.Context, s kernel.Sighting) {
	class, generation := a.class(s.Port)
	hit := portsnare.Hit{Host: a.config.Host, Source: s.Source, Port: s.Port, Class: class, Generation: generation, At: s.At.UTC()}
	a.config.Link.Hit(hit)
	source := portsnare.BanPrefix(s.Source)
	a.trails.add(source, hit)
	if s.Ban && !a.ledger.inForce(source, hit.At) {
		a.note(ctx, portsnare.Ban{Source: source, Since: hit.At})
	}
}

// note enters a ban that the kernel has made, and tells of it. The kernel bans
// for the shortest time; a repeat offender's ban is prolonged.
func (a *Agent) note(ctx context.Context, ban portsnare.Ban) {
	policy := a.policy()
	ban.Host = a.config.Host
	ban.Count = a.ledger.last(ban.Source, ban.Since).Count + 1
	ban.Until = ban.Since.Add(policy.BanTime(ban.Count))
	ban.Hits = a.trails.since(ban.Source, ban.Since.Add(-policy.Window), policy.Strikes)
	a.keep([]portsnare.Ban{ban})
	if ban.Count > 1 {
		if err := a.config.Backend.Ban(ctx, []portsnare.Ban{ban}); err != nil {
			a.config.Logger.Error(msgNotProlonged, keySource, ban.Source, keyError, err) // arm tries again
		}
	}
	a.config.Logger.Info(msgBanned, keySource, ban.Source, keyUntil, ban.Until, keyCount, ban.Count)
	a.config.Link.Ban(ban)
}

// adopt enters bans that are in the kernel and of which no sighting told: one
// was lost, or the agent was killed in between. A ban is adopted when it is
// met for the second time, since its sighting may be on its way.
func (a *Agent) adopt(ctx context.Context) {
	now := time.Now().UTC()
	inKernel, err := a.config.Backend.Bans(ctx)
	if a.trouble(msgNoBans, err); err != nil {
		return
	}
	orphans := make(map[source]bool)
	for _, ban := range inKernel {
		switch {
		case a.ledger.inForce(ban.Source, now):
		case a.orphans[ban.Source]:
			a.config.Logger.Info(msgAdopted, keySource, ban.Source)
			since := ban.Until.UTC().Add(-a.policy().BanMin)
			a.note(ctx, portsnare.Ban{Source: ban.Source, Since: earlier(since, now)})
		default:
			orphans[ban.Source] = true
		}
	}
	a.orphans = orphans
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// keep enters bans, which are saved soon.
func (a *Agent) keep(bans []portsnare.Ban) {
	for _, ban := range bans {
		if a.ledger.keep(ban) && a.unsaved == nil {
			a.unsaved = time.After(saveDelay)
		}
	}
}

// saveBans saves the ledger if it has changed since it was saved last.
func (a *Agent) saveBans() {
	if a.unsaved == nil {
		return
	}
	a.unsaved = nil
	err := saveBans(a.config.Dir, a.ledger.all())
	if a.trouble(msgBansUnsaved, err); err != nil {
		a.unsaved = time.After(saveDelay)
	}
}
