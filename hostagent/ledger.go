package hostagent

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

type source = netip.Prefix

// Bounds of the ledger.
const (
	// probation is how long after the end of a ban the next one is a repeat.
	probation = 7 * 24 * time.Hour
	mostBans  = 10_000
)

// ledger holds the last ban of each source: those in force, and those over, as
// long as a repeat would be prolonged.
type ledger struct {
	bans map[source]portsnare.Ban
}

func newLedger() *ledger { return &ledger{bans: make(map[source]portsnare.Ban)} }

// keep enters a ban unless one as long is known, and reports whether it did.
func (l *ledger) keep(ban portsnare.Ban) bool {
	if portsnare.CheckSource(ban.Source) != nil || !ban.Until.After(l.bans[ban.Source].Until) {
		return false
	}
	l.bans[ban.Source] = ban
	if len(l.bans) > mostBans {
		l.shrink()
	}
	return true
}

// lift forgets the bans of sources that are allowed.
func (l *ledger) lift(allow []netip.Prefix) {
	maps.DeleteFunc(l.bans, func(s source, _ portsnare.Ban) bool { return kernel.Covered(s, allow) })
}

// shrink forgets the tenth of the bans that end first.
func (l *ledger) shrink() {
	bans := slices.SortedFunc(maps.Values(l.bans), func(a, b portsnare.Ban) int { return a.Until.Compare(b.Until) })
	for _, ban := range bans[:len(bans)/10] {
		delete(l.bans, ban.Source)
	}
}

// last returns the last ban of a source, zero where none counts any more.
func (l *ledger) last(s source, now time.Time) portsnare.Ban {
	if ban := l.bans[s]; !over(ban, now) {
		return ban
	}
	return portsnare.Ban{}
}

// inForce reports whether a source is banned at the time given.
func (l *ledger) inForce(s source, at time.Time) bool { return l.bans[s].Until.After(at) }

// over reports whether a ban has ended so long ago that it is forgotten.
func over(ban portsnare.Ban, now time.Time) bool { return now.Sub(ban.Until) > probation }

// prune forgets what is over, and the reasons of bans that have ended.
func (l *ledger) prune(now time.Time) {
	for s, ban := range l.bans {
		switch {
		case over(ban, now):
			delete(l.bans, s)
		case !ban.Until.After(now):
			ban.Hits = nil
			l.bans[s] = ban
		}
	}
}

// active returns the bans in force, sorted by source.
func (l *ledger) active(now time.Time) []portsnare.Ban {
	return slices.DeleteFunc(l.all(), func(b portsnare.Ban) bool { return !b.Until.After(now) })
}

// all returns every ban known, sorted by source.
func (l *ledger) all() []portsnare.Ban {
	return slices.SortedFunc(maps.Values(l.bans), func(a, b portsnare.Ban) int { return a.Source.Compare(b.Source) })
}
