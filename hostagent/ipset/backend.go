package ipset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/host"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/localports"
)

// DefaultLogGroup is the NFLOG group that hits and bans are logged to.
const DefaultLogGroup = 5709

// Options are the choices of a [Backend]. The zero Options are ready to use.
type Options struct {
	LogGroup uint16           // NFLOG group; DefaultLogGroup if 0
	Now      func() time.Time // the clock; time.Now if nil

	hitBuckets int    // for tests; hitBuckets if 0
	variant    string // for tests: "-nft" or "-legacy" iptables
	run        runner // for tests
}

// Backend programs the kernel of the network namespace it is first used in. Its
// methods may be called from any goroutine; one works at a time.
type Backend struct {
	opts Options

	mu     sync.Mutex
	memory memory
}

// New returns a backend. It touches nothing.
func New(opts Options) *Backend {
	if opts.LogGroup == 0 {
		opts.LogGroup = DefaultLogGroup
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.hitBuckets == 0 {
		opts.hitBuckets = hitBuckets
	}
	if opts.run == nil {
		opts.run = programs{}
	}
	return &Backend{opts: opts, memory: memory{native: map[string]bool{}}}
}

// Check returns an error unless the backend can work here: of kind
// [portsnare.Unavailable] if programs are missing or the kernel does not know
// them, [portsnare.Denied] without CAP_NET_ADMIN, [portsnare.Conflict] if somebody
// used the tables of iptables in a way that it does not understand. It changes
// nothing.
func (b *Backend) Check(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := b.inspect(ctx, false)
	return err
}

// Set makes the kernel carry out order and nothing else, and reports whether
// anything had to be changed. Hits, strikes, bans and friends live on. Bans and
// friends of the order are added or prolonged, never shortened; the bans of
// allowed sources are lifted. What was changed before an error stays until the
// next Set, unless nothing of ours stood there before.
//
// An order that differs from the last one in ports alone is programmed without
// looking first at all that stands. Any other, also the same again, looks at
// everything, and puts right what somebody else has damaged.
//
// Errors are as of [Backend.Check], and [portsnare.Invalid] for an order that
// contradicts itself.
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
	b.memory.program = nil
	have, err := b.inspect(ctx, len(order.Friends) > 0)
	if err != nil {
		return false, err
	}
	todo := changes(have, want, b.opts.Now())
	if err := b.apply(ctx, todo); err != nil {
		if have.none() {
			b.flush(context.WithoutCancel(ctx)) // the first error says more than one about this
		}
		return true, err
	}
	b.memory.keep(want)
	return !todo.empty(), nil
}

// Flush removes every trace of ours from the kernel and nothing else. Where
// nothing is, it does nothing. Tables of iptables-legacy stay even if there were
// none before us, since nobody can remove them.
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
	if err := b.apply(ctx, removal(have)); err != nil {
		return err
	}
	b.memory.own, b.memory.made = portsnare.PortSet{}, portsnare.PortSet{}
	return nil
}

// apply runs a script. Its part that arms is not reached unless all before
// succeeded.
func (b *Backend) apply(ctx context.Context, s script) error {
	arm := s.arm
	if !s.hasRules() {
		s.prepare, arm = s.prepare+arm, ""
	}
	if err := b.restoreSets(ctx, s.prepare); err != nil {
		return err
	}
	for i, f := range families {
		if s.rules[i] == "" {
			continue
		}
		b.memory.rules = nil
		if _, err := b.run(ctx, s.rules[i], b.iptables(f, "-restore"), "--noflush", "--wait"); err != nil {
			return err
		}
	}
	if err := b.restoreSets(ctx, arm); err != nil {
		return err
	}
	if s.reserved != nil {
		if err := localports.Write(localports.Path, *s.reserved); err != nil {
			return fmt.Errorf("reserve trap ports: %w", err)
		}
	}
	if err := b.restoreSets(ctx, s.tidy); err != nil {
		return err
	}
	if err := b.unmake(s.unmake); err != nil {
		return fmt.Errorf("remove the tables that were made for us: %w", err)
	}
	return b.destroySets(ctx, s.destroy)
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
// the sets of a removed rule only some time after the rule is gone, and tells
// nobody.
func (b *Backend) destroySets(ctx context.Context, text string) error {
	const tries, pause = 50, 20 * time.Millisecond
	var err error
	for range tries {
		if err = b.restoreSets(ctx, text); err == nil {
			return nil
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
	err = errors.Join(b.readMissing(ctx, &have), have.readReserved())
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
		if !strings.HasPrefix(name, prefix) {
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
	text, err := b.run(ctx, saves.String(), "ipset", "restore")
	if err != nil {
		return have, err
	}
	return have, have.parseSets(text, b.opts.Now())
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
	switch {
	case len(missing) > 0:
		return &portsnare.Error{
			Kind: portsnare.Unavailable, Op: "find programs", Subject: strings.Join(missing, ", "),
			Err: errors.New("not installed"), Hint: "apt-get install " + strings.Join(packages, " "),
		}
	case !host.NetAdmin():
		return &portsnare.Error{
			Kind: portsnare.Denied, Op: "program the firewall",
			Err: os.ErrPermission, Hint: "run as root, or with CAP_NET_ADMIN",
		}
	}
	return nil
}
