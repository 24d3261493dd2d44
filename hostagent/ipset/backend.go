package ipset

import (
	"context"
	"errors"
	"slices"
	"strings"
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
	variant string // for tests: "-nft" or "-legacy" iptables
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
		opts.run = programs{}
	}
	return &Backend{opts: opts, memory: memory{native: map[string]bool{}}}
}

// Check returns an error unless the backend can work here: of kind
// [portsnare.Unavailable] if programs, matches, targets or types of sets are missing,
// [portsnare.Denied] without CAP_NET_ADMIN, [portsnare.Conflict] if somebody
// used the tables of iptables in a way that it does not understand. It loads all
// that any order may need under names of its own, where no packet comes by, and
// removes it again. What is armed it leaves alone.
func (b *Backend) Check(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.inspect(ctx, false); err != nil {
		return err
	}
	return b.rehearse(ctx)
}

// Set makes the kernel carry out order and nothing else, and reports whether
// anything had to be changed. Hits, strikes, bans and friends live on. Bans and
// friends of the order are added or prolonged, never shortened; the bans of
// allowed sources are lifted. What was changed before an error stays until the
// next Set, unless nothing of ours stood there before. What could not be done
// although the traps are armed, [Backend.Problems] returns.
//
// An order that differs from the last one in ports alone is programmed without
// looking first at all that stands. Any other, also the same again, looks at
// everything, and puts right what somebody else has damaged.
//
// Errors are as of [Backend.Check], [portsnare.Transient] if somebody else holds
// the lock of iptables, and [portsnare.Invalid] for an order that contradicts itself
// or a program that the kernel's tools do not understand although Check finds
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
	if b.hasten(ctx, want) {
		return true, nil
	}
	for _, want.spare = range kernel.Spares {
		var more bool
		more, err = b.carryOut(ctx, want)
		if changed = changed || more; !errors.Is(err, portsnare.LimitExceeded) {
			break
		}
	}
	return changed, b.diagnose(ctx, err)
}

// carryOut makes what stands what is wanted.
func (b *Backend) carryOut(ctx context.Context, want program) (changed bool, err error) {
	b.memory.program = nil
	have, err := b.inspect(ctx, len(want.friends) > 0)
	if err != nil {
		return false, err
	}
	todo := changes(have, want, b.opts.Now())
	unreserved, err := b.apply(ctx, todo)
	if err != nil {
		if have.none() {
			b.flush(context.WithoutCancel(ctx)) // the first error says more than one about this
		}
		return true, err
	}
	b.problems = kernel.Problems{NoRoom: todo.noRoom, Unreserved: unreserved}
	b.keep(want)
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

// Flush removes every trace of ours from the kernel and nothing else, and looks
// whether it is gone. Where nothing is, it does nothing. Tables of iptables-legacy
// stay even if there were none before us, since nobody can remove them.
//
// Rules go first and the record of what else is ours goes last, so that after an
// error another Flush can end the work. The error is of kind [portsnare.Denied] if
// reserved ports cannot be released, and [portsnare.Conflict] if somebody puts back
// what was removed.
func (b *Backend) Flush(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flush(ctx)
}

func (b *Backend) flush(ctx context.Context) error {
	b.memory.program = nil
	have, err := b.inspect(ctx, false)
	if err != nil {
		return err
	}
	if err := errors.Join(b.unstage(ctx), b.remove(ctx, removal(have))); err != nil {
		return err
	}
	if have, err = b.inspect(ctx, false); err != nil {
		return err
	}
	if left := removal(have); !left.empty() {
		return &portsnare.Error{
			Kind: portsnare.Conflict, Op: "flush", Subject: "ipset",
			Err:  errors.New("some of it is back: " + have.summary()),
			Hint: "stop the agent that puts it back, and flush again",
		}
	}
	b.memory.own, b.memory.made, b.problems = portsnare.PortSet{}, portsnare.PortSet{}, kernel.Problems{}
	return nil
}

// remove runs the script of a removal.
func (b *Backend) remove(ctx context.Context, s script) error {
	if err := b.restoreRules(ctx, s.rules); err != nil {
		return err
	}
	if err := b.destroySets(ctx, s.destroy); err != nil {
		return err
	}
	var err error
	if s.reserved != nil {
		err = localports.Replace(localports.Path, *s.reserved)
	}
	if err := errors.Join(err, b.unmake(s.unmake)); err != nil {
		return kernel.Unremoved(err)
	}
	return b.destroySets(ctx, s.records)
}

// apply runs a script. Its part that arms is not reached unless all before
// succeeded. That trap ports cannot be reserved keeps nothing from being armed.
func (b *Backend) apply(ctx context.Context, s script) (unreserved, err error) {
	arm := s.arm
	if s.rules == [len(families)]string{} {
		s.prepare, arm = s.prepare+arm, ""
	}
	if err := b.restoreSets(ctx, s.prepare); err != nil {
		return nil, err
	}
	if err := b.restoreRules(ctx, s.rules); err != nil {
		return nil, err
	}
	if err := b.restoreSets(ctx, arm); err != nil {
		return nil, err
	}
	if s.reserved != nil {
		unreserved = kernel.Unreserved(localports.Replace(localports.Path, *s.reserved))
	}
	record := s.release
	if unreserved != nil {
		record = s.owe
	}
	if err := b.restoreSets(ctx, record+s.tidy); err != nil {
		return unreserved, err
	}
	return unreserved, b.destroySets(ctx, s.destroy)
}

func (b *Backend) restoreRules(ctx context.Context, rules [len(families)]string) error {
	for i, f := range families {
		if rules[i] == "" {
			continue
		}
		b.memory.rules = nil
		if err := b.restoreFamily(ctx, f, rules[i]); err != nil {
			return err
		}
	}
	return nil
}

// lockWait is how many seconds a program of iptables waits for another one.
const lockWait = "5"

func (b *Backend) restoreFamily(ctx context.Context, f family, rules string) error {
	_, err := b.run(ctx, rules, b.iptables(f, "-restore"), "--noflush", "--wait", lockWait)
	return err
}

// run runs a program.
func (b *Backend) run(ctx context.Context, input, program string, args ...string) (string, error) {
	return b.opts.run.start(ctx, input, program, args...)()
}

func (b *Backend) restoreSets(ctx context.Context, text string) error {
	if text == "" {
		return nil
	}
	_, err := b.run(ctx, text, "ipset", "-exist", "restore")
	return err
}

// destroySets destroys sets as soon as it can be done: the kernel may let go of
// the sets of a removed rule only some time after the rule is gone, and does not
// say when.
func (b *Backend) destroySets(ctx context.Context, text string) error {
	const tries, pause = 50, 20 * time.Millisecond
	var err error
	for range tries {
		if err = b.restoreSets(ctx, text); !errors.Is(err, portsnare.Conflict) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return err
}

// inspect reads what of ours stands in the kernel; the friends, who may be many,
// only where they are wanted.
func (b *Backend) inspect(ctx context.Context, withFriends bool) (have state, err error) {
	if err := b.able(); err != nil {
		return state{}, err
	}
	waitTables := b.readTables(ctx)
	have, err = b.readSets(ctx, func(set string) bool { return readable(set) || withFriends && isFriends(set) })
	tables, tablesErr := waitTables()
	if err := errors.Join(err, tablesErr); err != nil {
		return state{}, err
	}
	have.tables = tables
	var reservedErr error
	have.reserved, reservedErr = localports.Read(localports.Path)
	err = errors.Join(b.readMissing(ctx, &have), reservedErr)
	have.lost, have.missing = b.memory.own, have.missing.Union(b.memory.made)
	return have, err
}

// readSets reads the names of our sets and the content of some.
func (b *Backend) readSets(ctx context.Context, wanted func(name string) bool) (state, error) {
	have := state{sets: map[string]bool{}}
	names, err := b.run(ctx, "", "ipset", "list", "-n")
	if err != nil {
		return have, err
	}
	var saves lines
	for _, name := range strings.Fields(names) {
		if !strings.HasPrefix(name, prefix) || isStaged(name) {
			continue
		}
		have.sets[name] = true
		if wanted(name) {
			saves.addf("save %s", name)
		}
	}
	if saves.Len() == 0 {
		return have, nil
	}
	now := b.opts.Now() // the kernel reads its clock before ipset has printed all
	text, err := b.run(ctx, saves.String(), "ipset", "restore")
	if err != nil {
		return have, err
	}
	return have, have.parseSets(text, now)
}

// iptables returns the name of one of the family's programs, in the variant the
// host uses.
func (b *Backend) iptables(f family, end string) string {
	variants := []string{"", "-nft", "-legacy"}
	if b.opts.variant != "" {
		variants = []string{b.opts.variant}
	}
	for _, variant := range variants {
		if b.opts.run.installed(f.tool + variant + end) {
			return f.tool + variant + end
		}
	}
	return f.tool + end
}

// able returns an error if a program or a privilege is missing.
func (b *Backend) able() error {
	needed := map[string][]string{"ipset": {"ipset"}, "iptables": nil}
	for _, f := range families {
		needed["iptables"] = append(needed["iptables"], b.iptables(f, "-restore"), b.iptables(f, "-save"))
	}
	var missing, packages []string
	for _, pkg := range []string{"ipset", "iptables"} {
		lacking := slices.DeleteFunc(needed[pkg], b.opts.run.installed)
		if len(lacking) > 0 {
			missing, packages = append(missing, lacking...), append(packages, pkg)
		}
	}
	if len(missing) > 0 {
		return &portsnare.Error{
			Kind: portsnare.Unavailable, Op: "find programs", Subject: strings.Join(missing, ", "),
			Err: errors.New("not installed"), Hint: "apt-get install " + strings.Join(packages, " "),
		}
	}
	return host.CheckPrivilege()
}
