package nftables

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
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
	left := min(e.until.Sub(now), portsnare.MaxTimeout)
	whole := (left + time.Second - 1).Truncate(time.Second)
	return e.key + e.counter + " timeout " + duration(whole)
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
	for _, set := range sets {
		l.each("add", set, all[set])
		l.each("delete", set, keys[set])
		l.each("add", set, again[set])
	}
}

// lift ends the bans of allowed sources.
func (t table) lift(have state, now time.Time, l *lines) {
	lifted, keys := map[string][]string{}, map[string][]string{}
	for source, b := range have.bans {
		if kernel.Covered(source, t.allow) {
			e := banEntry(source, b)
			lifted[e.set], keys[e.set] = append(lifted[e.set], e.text(now)), append(keys[e.set], e.key)
		}
	}
	for _, set := range names(keys) {
		slices.Sort(lifted[set])
		slices.Sort(keys[set])
		l.each("add", set, lifted[set]) // or it may have run out by now
		l.each("delete", set, keys[set])
	}
}

// spare is how much room is left in a set for what the kernel adds while we do:
// an entry without room would have the whole transaction refused.
const spare = 1024

// fitting returns the entries for which there is room beside those that stand,
// counted by set, the longest first.
func fitting(entries []entry, standing map[string]int) []entry {
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.set, b.set), b.until.Compare(a.until), cmp.Compare(a.key, b.key))
	})
	return slices.DeleteFunc(entries, func(e entry) bool {
		if !e.stands {
			standing[e.set]++
		}
		return !e.stands && standing[e.set] > capacity(e.set)-spare
	})
}

// standing returns how many bans and friends there are, by set.
func (s state) standing() map[string]int {
	n := map[string]int{}
	maps.Copy(n, s.crowd)
	for source := range s.bans {
		n[familyOf(source.Addr()).set(ban)]++
	}
	for f := range s.friends {
		n[familyOf(f.source.Addr()).set(friends)]++
	}
	return n
}

// capacity returns how many entries a set takes.
func capacity(set string) int {
	switch strings.TrimRight(set, "46") {
	case friends:
		return maxFriends
	case crowd:
		return maxCrowd
	}
	return maxSources
}

// ban returns the bans to be added: those wanted that are missing or run out too
// early and, where the table is made anew, those that stood in the old one.
func (t table) ban(have state, anew bool, now time.Time) []entry {
	wanted, standing := map[netip.Prefix]banned{}, have.standing()
	if anew {
		maps.Copy(wanted, have.bans)
		clear(standing)
	}
	for _, b := range t.bans {
		if stands := have.bans[b.Source]; !reaches(stands.until, kernel.HeldUntil(b.Until, now)) {
			stands.until = b.Until
			wanted[b.Source] = stands
		}
	}
	var entries []entry
	for source, b := range wanted {
		if b.until.After(now) && !kernel.Covered(source, t.allow) {
			e := banEntry(source, b)
			_, e.stands = have.bans[source]
			e.stands = e.stands && !anew
			entries = append(entries, e)
		}
	}
	return fitting(entries, standing)
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
func (t table) befriend(have state, anew bool, now time.Time) []entry {
	wanted, standing := map[friend]time.Time{}, have.standing()
	if anew {
		maps.Copy(wanted, have.friends)
		clear(standing)
	}
	for _, want := range t.friends {
		f := friend{want.Source, want.Port.Number}
		if !reaches(have.friends[f], kernel.HeldUntil(want.Until, now)) {
			wanted[f] = want.Until
		}
	}
	var entries []entry
	for f, until := range wanted {
		if !until.After(now) {
			continue
		}
		_, stands := have.friends[f]
		e := entry{set: familyOf(f.source.Addr()).set(friends), key: f.key(), until: until, stands: stands && !anew}
		entries = append(entries, e)
		if t.public.Has(portsnare.Port{Protocol: portsnare.TCP, Number: f.port}) {
			e.set = familyOf(f.source.Addr()).set(crowd)
			entries = append(entries, e)
		}
	}
	return fitting(entries, standing)
}

func (f friend) key() string { return fmt.Sprintf("%s . %d", f.source.Addr(), f.port) }
