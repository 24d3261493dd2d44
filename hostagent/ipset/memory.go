package ipset

import (
	"context"
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
)

// memory is what the backend knows of the kernel without looking again. None of
// it is needed: it saves the time of reading back.
type memory struct {
	program *program // carried out by the last Set; nil if nothing is known

	// rules is what stood in the tables of iptables at a generation of the rules
	// of nft, which every change raises: while it stands, so do they. It is nil
	// if nothing is known.
	rules      *tableStates
	generation uint32

	native map[string]bool // whether a program of iptables programs nft, by name

	// own is what we have reserved, in case that somebody destroys the sets that
	// tell it.
	own portsnare.PortSet
}

// tableStates are what of ours stands in the tables of each family, by name; nil
// where the kernel lacks the family.
type tableStates [len(families)]map[string]tableState

// hasten carries out an order that differs from the last one in ports alone, and
// reports whether it did. It knows for certain that the rules stand, and leaves
// it to the next look whether somebody has emptied a set.
func (b *Backend) hasten(ctx context.Context, want program) bool {
	last := b.memory.program
	if last == nil || !want.differsInPorts(*last) {
		return false
	}
	generation, ok := b.generation(ctx)
	if !ok || b.memory.rules == nil || generation != b.memory.generation {
		return false
	}
	have := last.recalled()
	have.tables = *b.memory.rules
	if err := have.readReserved(); err != nil {
		return false
	}
	sets := want
	sets.bans, sets.friends = nil, nil // stand already
	todo := changes(have, sets, b.opts.Now())
	if todo.prepare+todo.arm+todo.tidy == "" || b.apply(ctx, todo) != nil {
		return false
	}
	b.memory.keep(want)
	return true
}

// keep remembers what stands now.
func (m *memory) keep(p program) {
	m.program = &p
	m.own = p.traps().Minus(p.content(reserved))
}

// differsInPorts reports whether at most sets of ports have to be changed on the
// way from another program.
func (p program) differsInPorts(other program) bool {
	sameBan := func(a, b portsnare.Ban) bool { return a.Source == b.Source && a.Until.Equal(b.Until) }
	sameFriend := func(a, b portsnare.Friend) bool {
		return a.Source == b.Source && a.Port == b.Port && a.Until.Equal(b.Until)
	}
	return reflect.DeepEqual(p.tables, other.tables) && slices.Equal(p.allow, other.allow) &&
		slices.EqualFunc(p.bans, other.bans, sameBan) && slices.EqualFunc(p.friends, other.friends, sameFriend)
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
	if ok && b.memory.rules != nil && generation == b.memory.generation {
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
		if err == nil && ok {
			b.memory.rules, b.memory.generation = &tables, generation
		}
		return tables, err
	}
}

// readFamily begins to read our chains and the jumps to them.
func (b *Backend) readFamily(ctx context.Context, f family) func() (map[string]tableState, error) {
	if f.absent() {
		return func() (map[string]tableState, error) { return nil, nil }
	}
	names := []string{"raw", "mangle"}
	var waits []wait
	for _, name := range names {
		waits = append(waits, b.opts.run.start(ctx, "", b.iptables(f, "-save"), "-t", name))
	}
	return func() (map[string]tableState, error) {
		tables := map[string]tableState{}
		var errs []error
		for i, name := range names {
			text, err := waits[i]()
			if err == nil && strings.Contains(text, "`"+name+"' is incompatible") { // all it says then, and no failure
				err = &portsnare.Error{
					Kind: portsnare.Conflict, Op: "read table", Subject: name + " of " + f.tool,
					Err:  errors.New("it holds rules of nft that iptables cannot read"),
					Hint: "move them to a table of their own; nft list ruleset shows them",
				}
			}
			tables[name] = parseTable(text)
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
			native = err == nil && strings.Contains(version, "nf_tables")
			b.memory.native[program] = native
		}
		if !native {
			return 0, false
		}
	}
	generation, err := readGeneration()
	return generation, err == nil
}

// The question for the generation and its answer (include/uapi/linux/netfilter/
// nf_tables.h of Linux 6.18).
const (
	getGeneration  = netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN)
	generationID   = 1
	generationHead = 4 // struct nfgenmsg
)

// readGeneration asks the kernel, in the namespace of this thread.
func readGeneration() (uint32, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	answers, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: getGeneration, Flags: netlink.Request},
		Data:   make([]byte, generationHead),
	})
	if err != nil {
		return 0, err
	}
	if len(answers) != 1 || len(answers[0].Data) < generationHead {
		return 0, errors.New("the kernel does not tell the generation of its rules")
	}
	attributes, err := netlink.UnmarshalAttributes(answers[0].Data[generationHead:])
	if err != nil {
		return 0, err
	}
	for _, a := range attributes {
		if a.Type == generationID && len(a.Data) == 4 {
			return binary.BigEndian.Uint32(a.Data), nil
		}
	}
	return 0, errors.New("the kernel does not tell the generation of its rules")
}
