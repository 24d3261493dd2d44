package nftables

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// entry is an element that ends by itself.
type entry struct {
	set, key string
	counter  string // such as " counter packets 3 bytes 180"; may be empty
	until    time.Time
	stands   bool // with another end
}

// text returns the entry as nft takes it.
func (e entry) text(now time.Time) string {
	return e.key + e.counter + " timeout " + duration(time.Duration(kernel.Whole(e.until, now))*time.Second)
}

// put adds entries. Of one that stands, kernels before 6.12 would keep the end
// it had, so it is deleted first; and before that it is added, since it may have
// run out by now and deleting nothing is an error.
func (l *lines) put(entries []entry, now time.Time) {
	var sets []string
	all, keys, again := map[string][]string{}, map[string][]string{}, map[string][]string{}
	for _, e := range entries {
		if all[e.set] == nil {
			sets = append(sets, e.set)
		}
		all[e.set] = append(all[e.set], e.text(now))
		if e.stands {
			keys[e.set] = append(keys[e.set], e.key)
			again[e.set] = append(again[e.set], e.text(now))
		}
	}
	slices.Sort(sets)
	for _, set := range sets {
		l.each("add", set, all[set])
		l.each("delete", set, keys[set])
		l.each("add", set, again[set])
	}
}

// ban returns the bans to be added: those wanted that are missing or run out too
// early and, where the table is made anew, those that stood in the old one. Left are
// those for which there is no room.
func (t table) ban(have state, anew bool, now time.Time) (entries []entry, left []portsnare.Ban) {
	wanted, stand := t.bans, have.bansUntil()
	if anew {
		for source, until := range stand {
			wanted = append(wanted[:len(wanted):len(wanted)], portsnare.Ban{Source: source, Until: until})
		}
		stand = nil
	}
	for source := range stand {
		if kernel.Covered(source, t.allow) { // is lifted
			delete(stand, source)
		}
	}
	fit, left := kernel.FitBans(wanted, stand, t.allow, now, t.spare)
	return have.entries(fit, stand), left
}

// entries returns bans as entries, with the counters of those that stood.
func (s state) entries(bans []portsnare.Ban, stand map[netip.Prefix]time.Time) (all []entry) {
	for _, b := range bans {
		before := s.bans[b.Source]
		before.until = b.Until
		e := banEntry(b.Source, before)
		_, e.stands = stand[b.Source]
		all = append(all, e)
	}
	return all
}

// lift ends the bans of allowed sources.
func (t table) lift(have state, now time.Time, l *lines) {
	var lifted []entry
	for source, b := range have.bans {
		if kernel.Covered(source, t.allow) {
			lifted = append(lifted, banEntry(source, b))
		}
	}
	l.drop(lifted, now)
}

// drop deletes entries that stand.
func (l *lines) drop(entries []entry, now time.Time) {
	lifted, keys := map[string][]string{}, map[string][]string{}
	for _, e := range entries {
		lifted[e.set], keys[e.set] = append(lifted[e.set], e.text(now)), append(keys[e.set], e.key)
	}
	for _, set := range names(keys) {
		slices.Sort(lifted[set])
		slices.Sort(keys[set])
		l.each("add", set, lifted[set]) // or it may have run out by now
		l.each("delete", set, slices.Compact(keys[set]))
	}
}

func banEntry(source netip.Prefix, b banned) entry {
	e := entry{set: familyOf(source.Addr()).set(ban), key: source.Addr().String(), until: b.until}
	if b.packets > 0 {
		e.counter = fmt.Sprintf(" counter packets %d bytes %d", b.packets, b.bytes)
	}
	return e
}

// befriend returns the friends to be added, as ban does, and those of public
// ports to the crowd as well.
func (t table) befriend(have state, anew bool, now time.Time) (entries []entry) {
	wanted, known := t.friends, have.known
	if anew {
		wanted = append(wanted[:len(wanted):len(wanted)], known.Friends()...)
		known = kernel.Known{}
	}
	for _, f := range kernel.FitFriends(wanted, known, t.public, now, t.spare) {
		_, stands := known.Until[kernel.PairOf(f)]
		e := entry{set: familyOf(f.Source.Addr()).set(friends), key: friendKey(f), until: f.Until, stands: stands}
		entries = append(entries, e)
		if t.public.Has(f.Port) {
			e.set = familyOf(f.Source.Addr()).set(crowd)
			entries = append(entries, e)
		}
	}
	return entries
}

func friendKey(f portsnare.Friend) string {
	return fmt.Sprintf("%s . %d", f.Source.Addr(), f.Port.Number)
}
