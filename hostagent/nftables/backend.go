package nftables

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/host"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/localports"
)

// Options are the choices of a [Backend]. The zero Options are ready to use.
type Options struct {
	LogGroup uint16           // NFLOG group; kernel.LogGroup if 0
	Now      func() time.Time // the clock; time.Now if nil

	maxHits int    // for tests; kernel.MaxHits if 0
	run     runner // for tests
}

// Backend programs the kernel of the network namespace it is first used in. Its
// methods may be called from any goroutine; one works at a time.
type Backend struct {
	opts Options

	mu       sync.Mutex
	memory   memory
	problems kernel.Problems
}

// New returns a backend. It touches nothing.
func New(opts Options) *Backend {
	if opts.LogGroup == 0 {
		opts.LogGroup = kernel.LogGroup
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.maxHits == 0 {
		opts.maxHits = kernel.MaxHits
	}
	if opts.run == nil {
		opts.run = program{}
	}
	return &Backend{opts: opts}
}

// Check returns an error unless the backend can work here: of kind
// [portsnare.Unavailable] if nft is missing, or it or the kernel does not know
// something that an order may need, [portsnare.Denied] without CAP_NET_ADMIN. The
// kernel is given the very program and told not to keep it: nothing is changed.
func (b *Backend) Check(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.inspect(ctx, isBans); err != nil {
		return err
	}
	return b.rehearse(ctx)
}

// Set makes the kernel carry out order and nothing else, in one transaction, and
// reports whether anything had to be changed. Hits, strikes, bans and friends
// live on. Bans and friends of the order are added or prolonged, never
// shortened; the bans of allowed sources are lifted. What could not be done
// although the traps are armed, [Backend.Problems] returns.
//
// Where the kernel says that no rule has changed since the last Set, nothing is
// read back but bans and friends, and not even those for an order that brings
// new ports alone. Whatever somebody else has damaged is put right.
//
// Errors are as of [Backend.Check], and [portsnare.Invalid] for an order that
// contradicts itself or a program that nft does not understand although Check finds
// nothing missing.
func (b *Backend) Set(ctx context.Context, order kernel.State) (changed bool, err error) {
	if err := order.Validate(); err != nil {
		return false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	forwards, err := host.Forwards()
	if err != nil {
		return false, err
	}
	want := render(order, b.opts, forwards)
	if b.hasten(want) {
		return true, nil
	}
	for _, want.spare = range kernel.Spares {
		changed, err = b.carryOut(ctx, want)
		if !errors.Is(err, portsnare.LimitExceeded) {
			break
		}
	}
	return changed, b.diagnose(ctx, err)
}

// carryOut makes what stands what is wanted.
func (b *Backend) carryOut(ctx context.Context, want table) (changed bool, err error) {
	withFriends := func(set string) bool { return isBans(set) || isFriends(set) }
	wanted := isBans
	if len(want.friends) > 0 {
		wanted = withFriends
	}
	have, err := b.inspect(ctx, wanted)
	if err == nil && !have.fits(want) { // will be made anew
		have, err = b.inspect(ctx, withFriends)
	}
	if err != nil {
		return false, err
	}
	b.recoverRecord(&have)
	todo := changes(have, want, b.opts.Now())
	unreserved, err := b.apply(ctx, todo)
	if err != nil {
		b.memory.known = nil
		return true, err
	}
	b.problems = kernel.Problems{NoRoom: todo.noRoom, Unreserved: unreserved}
	b.keep(want, have)
	return !todo.without(unreserved).empty(), nil
}

// Problems returns what the last Set could not do although it armed the traps:
// [portsnare.LimitExceeded] if bans found no room, [portsnare.Denied] or
// [portsnare.Conflict] if trap ports could not be reserved.
func (b *Backend) Problems() []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.problems.All()
}

// recoverRecord makes up for a record that was lost, with the table or alone.
func (b *Backend) recoverRecord(have *state) {
	have.lost = b.memory.own.Intersect(have.reserved).Minus(have.ports[reserved])
}

// Flush removes every trace of ours from the kernel and nothing else, and looks
// whether it is gone. Where nothing is, it does nothing.
//
// Rules go first and the record of what else is ours goes last, so that after an
// error another Flush can end the work. The error is of kind [portsnare.Denied] if
// reserved ports cannot be released, and [portsnare.Conflict] if somebody puts back
// what was removed.
func (b *Backend) Flush(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.remove(ctx); err != nil {
		return err
	}
	left, err := b.removal(ctx)
	switch {
	case err != nil:
		return err
	case !left.empty():
		return &portsnare.Error{
			Kind: portsnare.Conflict, Op: "flush", Subject: "nftables",
			Err:  errors.New("table " + ours + " or its reserved ports are back"),
			Hint: "stop the agent that puts them back, and flush again",
		}
	}
	b.memory.own, b.problems = portsnare.PortSet{}, kernel.Problems{}
	return nil
}

func (b *Backend) remove(ctx context.Context) error {
	todo, err := b.removal(ctx)
	if err != nil {
		return err
	}
	b.memory.known = nil
	if err := b.transact(ctx, todo.arm); err != nil {
		return err
	}
	if todo.reserved != nil {
		if err := localports.Replace(localports.Path, *todo.reserved); err != nil {
			return kernel.Unremoved(err)
		}
	}
	return b.transact(ctx, todo.settle)
}

// removal returns how all of ours that stands is removed.
func (b *Backend) removal(ctx context.Context) (script, error) {
	have, err := b.inspect(ctx, isBans)
	b.recoverRecord(&have)
	return removal(have), err
}

// apply runs a script. That trap ports cannot be reserved keeps nothing from being
// armed, but what waits for it is not run.
func (b *Backend) apply(ctx context.Context, s script) (unreserved, err error) {
	if err := b.transact(ctx, s.arm); err != nil {
		return nil, err
	}
	if s.reserved != nil {
		unreserved = kernel.Unreserved(localports.Replace(localports.Path, *s.reserved))
	}
	if unreserved != nil {
		return unreserved, nil
	}
	return nil, b.transact(ctx, s.settle)
}

func (b *Backend) transact(ctx context.Context, text string) error {
	if text == "" {
		return nil
	}
	_, err := b.opts.run.nft(ctx, text, "-f", "-")
	if err == nil {
		b.memory.changed()
	}
	return err
}

// inspect reads what of ours stands in the kernel, and the bans and friends that
// are wanted.
func (b *Backend) inspect(ctx context.Context, wanted func(set string) bool) (have state, err error) {
	if err := b.able(); err != nil {
		return have, err
	}
	have, ok := b.memory.recall()
	if !ok {
		if have, err = b.read(ctx); err != nil {
			return have, err
		}
	}
	if err := b.readSets(ctx, &have, wanted); err != nil {
		return have, err
	}
	return have, have.readReserved()
}

// read reads all that stands but bans and friends, and remembers it. Whatever
// else nft can be asked than this list of tables, it says that there is no table
// by an error, or reads every entry of every set before it answers (nft 1.0.6):
// half a second with a hundred thousand.
func (b *Backend) read(ctx context.Context) (state, error) {
	b.memory.known, b.memory.bans, b.memory.friends = nil, nil, nil
	have := newState()
	generation, generationErr := b.memory.kernel.Generation()
	text, err := b.opts.run.nft(ctx, "", "-j", "-t", "list", "ruleset", "inet")
	if err != nil {
		return have, err
	}
	if err := have.parseTable(text); err != nil {
		return have, err
	}
	if err := b.readSets(ctx, &have, isContent); err != nil {
		return have, err
	}
	if generationErr == nil {
		known := have
		b.memory.known, b.memory.generation = &known, generation
	}
	return have, nil
}

// readSets reads what the wanted ones of our sets hold, one by one: nft 1.0.6
// lists only the last of several.
func (b *Backend) readSets(ctx context.Context, have *state, wanted func(set string) bool) error {
	for _, name := range names(have.sets) {
		if !wanted(name) {
			continue
		}
		now := b.opts.Now() // the kernel reads its clock before nft has printed all
		text, err := b.list(ctx, name)
		if err != nil {
			return err
		}
		if err := have.parseSet(text, now); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// list returns what nft says of one of our sets.
func (b *Backend) list(ctx context.Context, set string) (string, error) {
	return b.opts.run.nft(ctx, "", "-j", "list", "set", "inet", name, set)
}

// able returns an error if nft or the privilege to use it is missing.
func (b *Backend) able() error {
	if !b.opts.run.installed() {
		return &portsnare.Error{
			Kind: portsnare.Unavailable, Op: "find program", Subject: "nft",
			Err: errors.New("not installed"), Hint: "apt-get install nftables",
		}
	}
	return host.CheckPrivilege()
}
