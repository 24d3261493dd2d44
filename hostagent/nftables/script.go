package nftables

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// script is the way from one state of the kernel to another: transactions in
// the language of nft, and a kernel parameter, in the order in which they are
// run. A part that is empty is not run; a script without parts changes nothing.
type script struct {
	arm      string             // all that matters
	reserved *portsnare.PortSet // ip_local_reserved_ports
	settle   string             // what had to wait for that

	noRoom error // what bans have no room
}

// empty reports whether the script changes nothing.
func (s script) empty() bool { return s.arm == "" && s.reserved == nil && s.settle == "" }

// without returns the script without what an error kept from being done.
func (s script) without(unreserved error) script {
	if unreserved != nil {
		s.reserved, s.settle = nil, ""
	}
	return s
}

// lines is text for nft.
type lines struct{ strings.Builder }

func (l *lines) addf(format string, args ...any) { fmt.Fprintf(l, format+"\n", args...) }

// each says what to do with entries of a set.
func (l *lines) each(verb, set string, entries []string) {
	if len(entries) > 0 {
		l.addf("%s element %s %s { %s }", verb, ours, set, strings.Join(entries, ", "))
	}
}

// changes returns the script that leads from have to want. Where the table has
// another form than ours it is made anew, with the bans and friends it had.
func changes(have state, want table, now time.Time) script {
	var s script
	var arm, settle lines
	list, release := want.reserve(have)
	s.reserved = list
	release.write(&settle)
	stands, anew := have, !have.fits(want)
	if anew {
		arm.addf("delete table %s", ours)
	}
	if anew || !have.exists {
		stands = state{}
	}
	want.form(stands, &arm)
	want.fill(stands, &arm)
	want.lift(stands, now, &arm)
	bans, left := want.ban(have, anew, now)
	s.noRoom = kernel.NoRoom(left)
	arm.put(bans, now)
	arm.put(want.befriend(have, anew, now), now)
	s.arm, s.settle = arm.String(), settle.String()
	return s
}

// removal returns the script that leads from have to nothing. Where reserved ports
// are to be released, the record of them stays until they are.
func removal(have state) script {
	var s script
	if foreign := have.foreignReserved(); !foreign.Equal(have.reserved) {
		s.reserved = &foreign
		var arm lines
		have.strip(&arm)
		s.arm = arm.String()
	}
	if have.exists {
		s.settle = "delete table " + ours + "\n"
	}
	return s
}

// strip removes from the table all but the set reserved. All ports that are ours
// and that it lacks are put into it.
func (s state) strip(l *lines) {
	l.addf("delete table %s", ours)
	if !s.exists {
		l.Reset()
	}
	record := ports(reserved, s.reserved.Minus(s.foreignReserved()))
	l.addf("table %s {", ours)
	record.declare(l)
	l.addf("}")
	record.refill(portsnare.PortSet{}).write(l)
}

// fits reports whether the table can be changed into what is wanted: whatever
// of it exists already has the form we give it.
func (s state) fits(want table) bool {
	for _, set := range want.sets {
		if d, ok := s.sets[set.name]; ok && d != set.digest() {
			return false
		}
	}
	for _, c := range want.chains {
		if have, ok := s.chains[c.name]; ok && have.hook != c.hook.form("filter", "accept") {
			return false
		}
	}
	return true
}

// form declares the sets and chains that are missing, takes away what is not
// wanted, and writes anew the chains whose rules differ.
func (t table) form(have state, l *lines) {
	sets := slices.DeleteFunc(slices.Clone(t.sets), func(s set) bool { _, ok := have.sets[s.name]; return ok })
	chains := slices.DeleteFunc(slices.Clone(t.chains), func(c chain) bool {
		stands, ok := have.chains[c.name]
		return ok && slices.Equal(stands.rules, c.digests())
	})
	t.discard(have, chains, l)
	if len(sets)+len(chains) == 0 && have.exists {
		return
	}
	l.addf("table %s {", ours)
	for _, s := range sets {
		s.declare(l)
	}
	for _, c := range chains {
		c.declare(l)
	}
	l.addf("}")
}

// discard empties the chains that are to be written anew, and deletes what is
// not wanted. Nothing refers to it by then.
func (t table) discard(have state, anew []chain, l *lines) {
	wanted := map[string]bool{}
	for _, c := range t.chains {
		wanted[c.name] = true
	}
	var rest []string
	for _, name := range names(have.chains) {
		differs := slices.ContainsFunc(anew, func(c chain) bool { return c.name == name })
		if !wanted[name] {
			rest = append(rest, name)
		}
		if differs || !wanted[name] {
			l.addf("flush chain %s %s", ours, name)
		}
	}
	for _, name := range rest {
		l.addf("delete chain %s %s", ours, name)
	}
	for _, name := range names(have.sets) {
		if !slices.ContainsFunc(t.sets, func(s set) bool { return s.name == name }) {
			l.addf("delete set %s %s", ours, name)
		}
	}
}

func (s set) declare(l *lines) {
	l.addf("\tset %s {", s.name)
	for _, line := range s.lines {
		l.addf("\t\t%s", line)
	}
	l.addf("\t\tcomment %q\n\t}", s.digest())
}

func (c chain) declare(l *lines) {
	l.addf("\tchain %s {", c.name)
	if c.hook.name != "" {
		l.addf("\t\ttype filter hook %s priority %s; policy accept;", c.hook.name, c.hook.words)
	}
	for _, rule := range c.rules {
		l.addf("\t\t%s comment %q", rule, digest(rule))
	}
	l.addf("\t}")
}

// form returns what a base chain is, comparable; "" for a chain without a hook.
func (h hook) form(kind, policy string) string {
	if h.name == "" {
		return ""
	}
	return fmt.Sprintf("%s %s %d %s", kind, h.name, h.priority, policy)
}

// reserve completes the wanted sets for the ports that the kernel shall not
// choose for connections of our own: the traps, beside what somebody else
// reserved. It returns what the list of reserved ports must become once the sets
// stand, nil if it may stay, and how the set reserved changes after that. The set
// holds what we added to the list, and what we are about to take out of it, at
// every step.
func (t table) reserve(have state) (list *portsnare.PortSet, release refill) {
	own := t.own(have)
	t.record(own.Union(have.ports[reserved]))
	if all := have.foreignReserved().Union(own); !all.Equal(have.reserved) {
		list = &all
	}
	return list, refill{set: reserved, gone: have.ports[reserved].Minus(own)}
}

// record writes down which reserved ports are ours.
func (t table) record(own portsnare.PortSet) {
	for i := range t.sets {
		if t.sets[i].name == reserved {
			t.sets[i].ports = own
		}
	}
}

// own returns the ports that we, and nobody else, want reserved.
func (t table) own(have state) portsnare.PortSet {
	return t.traps.Minus(have.foreignReserved())
}

// fill makes the sets of ports and networks hold what they shall.
func (t table) fill(have state, l *lines) {
	for _, s := range t.sets {
		s.refill(have.ports[s.name]).write(l)
		s.allow(have, l)
	}
}

// allow makes a set of networks hold what it shall.
func (s set) allow(have state, l *lines) {
	if slices.Equal(have.nets[s.name], s.nets) {
		return
	}
	if len(have.nets[s.name]) > 0 {
		l.addf("flush set %s %s", ours, s.name)
	}
	l.each("add", s.name, texts(s.nets))
}

func texts(prefixes []netip.Prefix) []string {
	all := make([]string, len(prefixes))
	for i, p := range prefixes {
		all[i] = p.String()
	}
	return all
}
