package hostagent

import (
	"context"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// maxAge is how old a sighting can be when the agent sees it. A time further away
// was written by a clock that has jumped since.
const maxAge = time.Minute

// see tells of a hit and, where it was the last, of the ban; and of all those that
// wait by now, so that the kernel is programmed once for many repeated bans.
func (a *Agent) see(ctx context.Context, s kernel.Sighting) {
	var prolonged []portsnare.Ban
	for n := 1; ; n++ {
		if ban, repeated := a.seeOne(s); repeated {
			prolonged = append(prolonged, ban)
		}
		if n == sightingBuffer || len(a.sightings) == 0 { // nobody else takes from it
			break
		}
		s = <-a.sightings
	}
	a.prolong(ctx, prolonged)
}

func (a *Agent) seeOne(s kernel.Sighting) (ban portsnare.Ban, repeated bool) {
	class, generation := a.class(s.Port)
	hit := portsnare.Hit{Host: a.config.Host, Source: s.Source, Port: s.Port, Class: class, Generation: generation, At: a.when(s)}
	told := hit
	told.At = a.clock.out(hit.At)
	a.config.Link.Hit(told)
	source := portsnare.BanPrefix(s.Source)
	a.trails.add(source, hit)
	if !s.Ban || a.ledger.inForce(source, hit.At) || kernel.Covered(source, a.lifted) { // lifted by now
		return ban, false
	}
	ban, repeated = a.note(portsnare.Ban{Source: source, Since: hit.At})
	a.logBanned(ban)
	return ban, repeated
}

// when returns when a packet came, in the own time.
func (a *Agent) when(s kernel.Sighting) time.Time {
	at, now := a.clock.in(s.At), a.clock.now()
	if at.After(now) || now.Sub(at) > maxAge {
		return now
	}
	return at
}
