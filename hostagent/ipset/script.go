package ipset

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// fresh ends the name of a set that is filled to be swapped with another.
const fresh = "_new"

// script is the way from one state of the kernel to another, in the languages
// of its programs and in the order in which they are to be run. A part that is
// empty is not run; a script without parts changes nothing.
type script struct {
	prepare  string                // ipset: make sets, grow sets, fill the new traps beside the old
	rules    [len(families)]string // iptables-restore, ip6tables-restore
	arm      string                // ipset: swap the traps
	reserved *portsnare.PortSet    // ip_local_reserved_ports
	tidy     string                // ipset: destroy the old traps, shrink sets, add bans and friends
	unmake   portsnare.PortSet     // places that nobody else had, by number
	destroy  string                // ipset: sets to which the rules before may have referred
}

func (s script) empty() bool { return reflect.DeepEqual(s, script{}) }

func (s script) hasRules() bool { return s.rules != [len(families)]string{} }

// lines is text for "ipset restore".
type lines struct{ strings.Builder }

func (l *lines) addf(format string, args ...any) { fmt.Fprintf(l, format+"\n", args...) }

func (l *lines) each(verb, set string, c content) {
	for _, entry := range c.entries() {
		l.WriteString(verb + " " + set + " " + entry + "\n")
	}
}

// changes returns the script that leads from have to want.
func changes(have state, want program, now time.Time) script {
	var s script
	var prepare, arm, tidy lines
	want.reserve(have, &s)
	want.claim(have)
	for _, set := range want.sets {
		if !have.sets[set.name] {
			prepare.addf("create %s %s", set.name, set.kind)
		}
	}
	for _, set := range want.sets {
		set.prepare(have.contents[set.name], &prepare)
	}
	if prepare.Len() > 0 {
		for _, kind := range []string{"hit", friends, crowd} {
			prepare.addf("add %s %s timeout 0", families[1].set(kind), discard)
		}
	}
	for _, set := range want.sets {
		set.arm(have.contents[set.name], &arm)
	}
	for _, set := range want.sets {
		set.shrink(have.contents[set.name], &tidy)
	}
	want.ban(have, now, &tidy)
	want.befriend(have, now, &tidy)
	for i := range families {
		s.rules[i] = tablesScript(have.tables[i], want.tables[i])
	}
	s.prepare, s.arm, s.tidy, s.destroy = prepare.String(), arm.String(), tidy.String(), want.leftovers(have)
	return s
}

// removal returns the script that leads from have to nothing.
func removal(have state) script {
	var s script
	for i, tables := range have.tables {
		var l lines
		for _, name := range slices.Sorted(maps.Keys(tables)) {
			tables[name].remove(name, &l)
		}
		s.rules[i] = l.String()
	}
	if foreign := have.foreignReserved(); have.reservable && !foreign.Equal(have.reserved) {
		s.reserved = &foreign
	}
	s.unmake = have.contents[made].ports
	s.destroy = program{}.leftovers(have)
	return s
}

// prepare adds what can be added before the traps are swapped.
func (s set) prepare(have content, l *lines) {
	switch {
	case s.change == grows:
		l.each("add", s.name, s.content.minus(have))
	case s.swaps(have):
		l.addf("create %s %s", s.name+fresh, s.kind)
		l.addf("flush %s", s.name+fresh)
		l.each("add", s.name+fresh, s.content)
	}
}

func (s set) swaps(have content) bool {
	return s.change == swapped && !s.content.ports.Equal(have.ports)
}

// arm swaps.
func (s set) arm(have content, l *lines) {
	if s.swaps(have) {
		l.addf("swap %s %s", s.name+fresh, s.name)
	}
}

// shrink removes what is no longer wanted and waited for the swap.
func (s set) shrink(have content, l *lines) {
	switch {
	case s.change == grows:
		l.each("del", s.name, have.minus(s.content))
	case s.swaps(have):
		l.addf("destroy %s", s.name+fresh)
	}
}

// ban adds the wanted bans that are missing or run out too early, the longest
// first and no more than there is room for, and lifts those of allowed sources.
func (p program) ban(have state, now time.Time, l *lines) {
	for _, source := range slices.SortedFunc(maps.Keys(have.bans), netip.Prefix.Compare) {
		if kernel.Covered(source, p.allow) {
			l.addf("del %s %s", familyOf(source.Addr()).set("ban"), source.Addr())
		}
	}
	room := banBuckets*perBucket - len(have.bans)
	wanted := slices.SortedFunc(slices.Values(p.bans), func(a, b portsnare.Ban) int {
		return cmp.Or(b.Until.Compare(a.Until), a.Source.Compare(b.Source))
	})
	for _, b := range wanted {
		if room <= 0 {
			return
		}
		if b.Until.After(now) && !kernel.Covered(b.Source, p.allow) && !have.bannedUntil(b.Source, kernel.HeldUntil(b.Until, now)) {
			l.addf("%s", banLine(b.Source, b.Until, now))
			room--
		}
	}
}

// remaining returns the seconds from now until then that the kernel can count.
func remaining(until, now time.Time) int64 {
	left := min(until.Sub(now), portsnare.MaxTimeout)
	return seconds(left + time.Second - 1)
}

// banLine bans a source, or sets the time that is left of its ban.
func banLine(source netip.Prefix, until, now time.Time) string {
	return fmt.Sprintf("add %s %s timeout %d", familyOf(source.Addr()).set("ban"), source.Addr(), remaining(until, now))
}

// leftovers destroys the sets that nothing needs any more: slots of a larger K,
// and what a crash left half filled.
func (p program) leftovers(have state) string {
	needed := make(map[string]bool, len(p.sets))
	for _, s := range p.sets {
		needed[s.name] = true
		needed[s.name+fresh] = s.swaps(have.contents[s.name]) // is destroyed already
	}
	var l lines
	for _, name := range have.names() {
		if !needed[name] {
			l.addf("destroy %s", name)
		}
	}
	return l.String()
}

// reserve completes the wanted sets and the script for the ports that the
// kernel shall not choose for connections of our own: the traps, beside what
// somebody else reserved. What we added is what stands in our trap sets, also
// in those being filled, and is not in the set reserved; this holds at every
// step of the script.
func (p program) reserve(have state, s *script) {
	foreign, traps := have.foreignReserved(), p.traps()
	for i := range p.sets {
		if p.sets[i].name == reserved {
			p.sets[i].content.ports = foreign.Intersect(traps)
		}
	}
	if all := foreign.Union(traps); have.reservable && !all.Equal(have.reserved) {
		s.reserved = &all
	}
}

// tablesScript returns the text for iptables-restore that leads from have to
// want, table by table; "" if they are the same or the family has no tables.
func tablesScript(have map[string]tableState, want []table) string {
	var l lines
	if have == nil {
		return ""
	}
	for _, t := range want {
		if !have[t.name].is(t) {
			have[t.name].replace(t, &l)
		}
	}
	return l.String()
}

// replace declares all of our chains anew, which iptables-restore does in one
// commit, and leaves the jump where it stands, if it stands.
func (have tableState) replace(want table, l *lines) {
	l.addf("*%s", want.name)
	for _, c := range want.chains {
		l.addf(":%s - [0:0]", c.name)
	}
	have.removeJumps(l, want.jumps)
	have.removeChains(l, slices.DeleteFunc(have.names(), want.has))
	for _, j := range want.jumps {
		if !slices.Contains(have.jumps, j.String()) {
			l.addf("-I %s 1 %s -j %s", j.hook, j.matches, j.chain)
		}
	}
	for _, c := range want.chains {
		for _, rule := range c.rules {
			l.addf("-A %s %s", c.name, rule)
		}
	}
	l.addf("COMMIT")
}

// remove removes our chains and what leads to them.
func (have tableState) remove(name string, l *lines) {
	if len(have.chains) == 0 {
		return
	}
	l.addf("*%s", name)
	have.removeJumps(l, nil)
	have.removeChains(l, have.names())
	l.addf("COMMIT")
}

// removeChains empties chains, which may lead to each other, and then deletes them.
// Nothing else leads there by then.
func (tableState) removeChains(l *lines, names []string) {
	for _, verb := range []string{"-F", "-X"} {
		for _, name := range names {
			l.addf("%s %s", verb, name)
		}
	}
}

// removeJumps removes every rule that leads to a chain of ours, except the
// first of each of those to keep.
func (have tableState) removeJumps(l *lines, keep []jump) {
	kept := map[string]bool{}
	for _, rule := range have.jumps {
		wanted := slices.ContainsFunc(keep, func(j jump) bool { return j.String() == rule })
		if !wanted || kept[rule] {
			l.addf("-D %s", rule)
		}
		kept[rule] = true
	}
}
