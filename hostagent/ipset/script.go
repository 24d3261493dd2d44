package ipset

import (
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
	owe      string                // ipset: if that list could not be written, record what is still ours in it
	release  string                // ipset: if it could, strike that record
	tidy     string                // ipset: destroy the old traps, shrink sets, add bans and friends
	unmake   portsnare.PortSet     // places that nobody else had, by number
	destroy  string                // ipset: sets to which the rules before may have referred
	records  string                // ipset: destroy the sets that tell what is ours, once nothing is

	noRoom error // what bans have no room
}

// empty reports whether the script changes nothing. What would be recorded if it
// failed does not count.
func (s script) empty() bool {
	s.owe, s.noRoom = "", nil
	return reflect.DeepEqual(s, script{})
}

// without returns the script without what an error kept from being done.
func (s script) without(unreserved error) script {
	if unreserved != nil {
		s.reserved, s.release = nil, ""
	}
	return s
}

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
	s.noRoom = kernel.NoRoom(want.ban(have, now, &tidy))
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
	if foreign := have.foreignReserved(); !foreign.Equal(have.reserved) {
		s.reserved = &foreign
	}
	s.unmake = have.contents[made].ports
	var destroy, last lines
	for _, name := range have.names() {
		if isRecord(name) {
			last.addf("destroy %s", name)
		} else {
			destroy.addf("destroy %s", name)
		}
	}
	s.destroy, s.records = destroy.String(), last.String()
	return s
}

// isRecord reports whether a set of ours tells what else is ours.
func isRecord(name string) bool {
	return slices.Contains([]string{trapTCP, trapTCP + fresh, trapUDP, trapUDP + fresh, reserved, owed, made}, name)
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

// ban lifts the bans of allowed sources, and adds the wanted ones that are missing
// or run out too early. It returns those for which there is no room.
func (p program) ban(have state, now time.Time, l *lines) (left []portsnare.Ban) {
	stand := have.bansUntil()
	for _, source := range slices.SortedFunc(maps.Keys(have.bans), netip.Prefix.Compare) {
		if kernel.Covered(source, p.allow) {
			l.addf("%s", liftLine(source))
			delete(stand, source)
		}
	}
	fit, left := kernel.FitBans(p.bans, stand, p.allow, now, p.spare)
	for _, b := range fit {
		l.addf("%s", banLine(b, now))
	}
	return left
}

// banLine bans a source, or sets the time that is left of its ban.
func banLine(b portsnare.Ban, now time.Time) string {
	return fmt.Sprintf("add %s %s timeout %d", familyOf(b.Source.Addr()).set("ban"), b.Source.Addr(), kernel.Whole(b.Until, now))
}

// liftLine ends the ban of a source.
func liftLine(source netip.Prefix) string {
	return fmt.Sprintf("del %s %s", familyOf(source.Addr()).set("ban"), source.Addr())
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
// in those being filled, and in the set owed, and is not in the set reserved; this
// holds at every step of the script.
func (p program) reserve(have state, s *script) {
	foreign, traps := have.foreignReserved(), p.traps()
	for i := range p.sets {
		if p.sets[i].name == reserved {
			p.sets[i].content.ports = foreign.Intersect(traps)
		}
	}
	if all := foreign.Union(traps); !all.Equal(have.reserved) {
		s.reserved = &all
	}
	var owe, release lines
	debts := have.reserved.Minus(foreign).Minus(traps)
	owe.each("add", owed, content{ports: debts.Minus(have.contents[owed].ports)})
	release.each("del", owed, have.contents[owed])
	s.owe, s.release = owe.String(), release.String()
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
