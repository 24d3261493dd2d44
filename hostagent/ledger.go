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

// Bounds of the ledger. How many bans are in force is bounded by what the kernel
// holds, and by nothing else.
const (
	// probation is how long after the end of a ban the next one is a repeat.
	probation = 7 * 24 * time.Hour
	// maxPast is how many bans that have ended are remembered for that.
	maxPast = 50_000
	// maxExplained is how many bans keep the hits that led to them.
	maxExplained = 10_000
)

// ledger holds the last ban of each source: those in force, and apart from them
// those that have ended, as long as a repeat would be prolonged.
type ledger struct {
	active    map[source]portsnare.Ban
	past      map[source]portsnare.Ban
	four      int // of those active
	explained int // likewise
	sorted    []portsnare.Ban
}

func newLedger() *ledger {
	return &ledger{active: make(map[source]portsnare.Ban), past: make(map[source]portsnare.Ban)}
}

// enter enters a ban in force unless one as long is known, and reports whether it
// did. It does not where as many are known as the kernel holds.
func (l *ledger) enter(ban portsnare.Ban) bool {
	known, held := l.active[ban.Source]
	if portsnare.CheckSource(ban.Source) != nil || !ban.Until.After(known.Until) || !held && l.full(ban.Source) {
		return false
	}
	l.remove(ban.Source)
	delete(l.past, ban.Source)
	l.active[ban.Source] = ban
	l.count(ban, 1)
	if l.explained > maxExplained {
		l.shorten()
	}
	return true
}

// full reports whether as many sources of this one's family are shut out as the
// kernel holds.
func (l *ledger) full(s source) bool {
	if s.Addr().Is4() {
		return l.four >= kernel.MaxBans
	}
	return len(l.active)-l.four >= kernel.MaxBans
}

func (l *ledger) remove(s source) {
	if ban, ok := l.active[s]; ok {
		delete(l.active, s)
		l.count(ban, -1)
	}
}

func (l *ledger) count(ban portsnare.Ban, by int) {
	l.sorted = nil
	if ban.Source.Addr().Is4() {
		l.four += by
	}
	if len(ban.Hits) > 0 {
		l.explained += by
	}
}

// remember enters a ban that has ended.
func (l *ledger) remember(ban portsnare.Ban) {
	ban.Hits = nil
	l.past[ban.Source] = ban
	if len(l.past) <= maxPast {
		return
	}
	bans := slices.SortedFunc(maps.Values(l.past), func(a, b portsnare.Ban) int { return a.Until.Compare(b.Until) })
	for _, ban := range bans[:len(bans)/10] { // many at once, for the sorting is dear
		delete(l.past, ban.Source)
	}
}

// shorten forgets the hits of the tenth of the bans that began first.
func (l *ledger) shorten() {
	bans := slices.DeleteFunc(slices.Collect(maps.Values(l.active)), func(b portsnare.Ban) bool { return len(b.Hits) == 0 })
	slices.SortFunc(bans, func(a, b portsnare.Ban) int { return a.Since.Compare(b.Since) })
	for _, ban := range bans[:len(bans)/10] {
		l.count(ban, -1)
		ban.Hits = nil
		l.active[ban.Source] = ban
		l.count(ban, 1)
	}
}

// lift forgets the bans of sources that are allowed, and returns those that were
// in force, sorted.
func (l *ledger) lift(allow []netip.Prefix) (lifted []source) {
	for s := range l.active {
		if kernel.Covered(s, allow) {
			lifted = append(lifted, s)
		}
	}
	for _, s := range lifted {
		l.remove(s)
	}
	maps.DeleteFunc(l.past, func(s source, _ portsnare.Ban) bool { return kernel.Covered(s, allow) })
	slices.SortFunc(lifted, source.Compare)
	return lifted
}

// last returns the last ban of a source, zero where none counts any more.
func (l *ledger) last(s source, now time.Time) portsnare.Ban {
	ban, held := l.active[s]
	if !held {
		ban = l.past[s]
	}
	if over(ban, now) {
		return portsnare.Ban{}
	}
	return ban
}

// inForce reports whether a source is banned at the time given.
func (l *ledger) inForce(s source, at time.Time) bool { return l.active[s].Until.After(at) }

// over reports whether a ban has ended so long ago that it is forgotten.
func over(ban portsnare.Ban, now time.Time) bool { return now.Sub(ban.Until) > probation }

// prune forgets what is over, and returns the sources whose bans have ended since
// it was called last, sorted.
func (l *ledger) prune(now time.Time) (ended []source) {
	maps.DeleteFunc(l.past, func(_ source, ban portsnare.Ban) bool { return over(ban, now) })
	for s, ban := range l.active {
		if !ban.Until.After(now) {
			ended = append(ended, s)
		}
	}
	for _, s := range ended {
		ban := l.active[s]
		l.remove(s)
		if !over(ban, now) {
			l.remember(ban)
		}
	}
	slices.SortFunc(ended, source.Compare)
	return ended
}

// inOrder returns the bans that were in force when prune was called last, sorted
// by source. The caller must not change it.
func (l *ledger) inOrder() []portsnare.Ban {
	if l.sorted == nil {
		l.sorted = slices.SortedFunc(maps.Values(l.active), bySource)
	}
	return l.sorted
}

// all returns every ban known, sorted by source.
func (l *ledger) all() []portsnare.Ban {
	return slices.SortedFunc(func(yield func(portsnare.Ban) bool) {
		for _, bans := range []map[source]portsnare.Ban{l.active, l.past} {
			for _, ban := range bans {
				if !yield(ban) {
					return
				}
			}
		}
	}, bySource)
}

func bySource(a, b portsnare.Ban) int { return a.Source.Compare(b.Source) }
