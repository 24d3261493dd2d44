package ipset

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/host"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/localports"
)

// memory is what the backend knows of the kernel without looking again: it saves
// the time of reading back, and makes up for records that somebody destroys.
type memory struct {
	program *program // carried out by the last Set; nil if nothing is known

	// rules is what stood in the tables of iptables when they were last read, nil
	// if nothing is known. If they are rules of nft, dated says at which of their
	// generations, which every change raises: while it stands, so do they.
	rules      *tableStates
	dated      bool
	generation uint32
	kernel     host.Netfilter

	native map[string]bool // whether a program of iptables programs nft, by name

	// own is what we have reserved, and made the places that we have made, in case
	// that somebody destroys or empties the sets that tell it.
	own, made portsnare.PortSet
}

// tableStates are what of ours stands in the tables of each family, by name; nil
// where the kernel lacks the family.
type tableStates [len(families)]map[string]tableState

// hasten carries out an order that differs from the last one in ports alone, and
// reports whether it did. It makes sure that the rules stand, and leaves it to
// the next look whether somebody has emptied a set.
func (b *Backend) hasten(ctx context.Context, want program) bool {
	last, rules := b.memory.program, b.memory.rules
	if last == nil || rules == nil || b.problems.Unreserved != nil || !want.differsInPorts(*last) {
		return false
	}
	tables, err := b.readTables(ctx)()
	if err != nil || !reflect.DeepEqual(tables, *rules) {
		return false
	}
	have := last.recalled()
	have.tables = tables
	if have.reserved, err = localports.Read(localports.Path); err != nil {
		return false
	}
	sets := want
	sets.bans, sets.friends = nil, nil // stand already
	todo := changes(have, sets, b.opts.Now())
	if todo.prepare+todo.arm+todo.tidy == "" {
		return false
	}
	if b.problems.Unreserved, err = b.apply(ctx, todo); err != nil {
		return false
	}
	b.keep(want)
	return true
}

// keep remembers what stands now.
func (b *Backend) keep(p program) {
	m, own := &b.memory, p.traps().Minus(p.content(reserved))
	if b.problems.Unreserved != nil {
		own = own.Union(m.own) // some of which may be on the list still
	}
	m.program, m.own, m.made = &p, own, p.content(made)
}

// differsInPorts reports whether at most sets of ports have to be changed on the
// way from another program. Bans and friends are added, and never taken away.
func (p program) differsInPorts(other program) bool {
	return reflect.DeepEqual(p.tables, other.tables) && slices.Equal(p.allow, other.allow) &&
		(len(p.bans) == 0 || kernel.SameBans(p.bans, other.bans)) &&
		(len(p.friends) == 0 || kernel.SameFriends(p.friends, other.friends))
}

// recalled returns the sets as they stand once the program is carried out.
func (p program) recalled() state {
	have := state{sets: map[string]bool{}, contents: map[string]content{}}
	for _, s := range p.sets {
		have.sets[s.name], have.contents[s.name] = true, s.content
	}
	return have
}

// readTables begins to read what of ours stands in the tables of iptables, and
// returns what waits for it.
func (b *Backend) readTables(ctx context.Context) func() (tableStates, error) {
	generation, ok := b.generation(ctx)
	if ok && b.memory.rules != nil && b.memory.dated && generation == b.memory.generation {
		return func() (tableStates, error) { return *b.memory.rules, nil }
	}
	b.memory.rules = nil
	var waits [len(families)]func() (map[string]tableState, error)
	for i, f := range families {
		waits[i] = b.readFamily(ctx, f)
	}
	return func() (tables tableStates, err error) {
		for i, wait := range waits {
			have, waitErr := wait()
			tables[i], err = have, errors.Join(err, waitErr)
		}
		if err == nil {
			b.memory.rules, b.memory.dated, b.memory.generation = &tables, ok, generation
		}
		return tables, err
	}
}

// tableNames are the tables of iptables in which we have chains.
var tableNames = []string{"raw", "mangle"}

// readFamily begins to read our chains and the jumps to them.
func (b *Backend) readFamily(ctx context.Context, f family) func() (map[string]tableState, error) {
	if f.absent() {
		return func() (map[string]tableState, error) { return nil, nil }
	}
	var waits []wait
	for _, name := range tableNames {
		waits = append(waits, b.opts.run.start(ctx, "", b.iptables(f, "-save"), "-t", name))
	}
	return func() (map[string]tableState, error) {
		tables := map[string]tableState{}
		var errs []error
		for i, name := range tableNames {
			text, err := waits[i]()
			if err == nil && strings.Contains(text, "`"+name+"' is incompatible") { // all it says then, and no failure
				err = &portsnare.Error{
					Kind: portsnare.Conflict, Op: "read table", Subject: name + " of " + f.tool,
					Err:  errors.New("it holds rules of nft that iptables cannot read"),
					Hint: "move them to a table of their own; nft list ruleset shows them",
				}
			}
			tables[name] = parseTable(text, isOurs)
			errs = append(errs, err)
		}
		return tables, errors.Join(errs...)
	}
}

// generation returns the generation of the rules of nft; ok is false unless all
// rules of ours are among them.
func (b *Backend) generation(ctx context.Context) (generation uint32, ok bool) {
	for _, f := range families {
		program := b.iptables(f, "-save")
		native, known := b.memory.native[program]
		if !known {
			version, err := b.run(ctx, "", program, "--version")
			if err != nil {
				return 0, false
			}
			native = strings.Contains(version, "nf_tables")
			b.memory.native[program] = native
		}
		if !native {
			return 0, false
		}
	}
	generation, err := b.memory.kernel.Generation()
	return generation, err == nil
}
