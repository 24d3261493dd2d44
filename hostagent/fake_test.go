package hostagent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// fence orders what the test did before the agent's next call to a fake, for
// the race detector: the passing of time in a bubble does not.
type fence struct{ n atomic.Int64 }

func (f *fence) pass() { f.n.Add(1) }

// fakeKernel is a Backend that remembers. Its timers run evenly, whatever the wall
// clock does: it holds bubble times and speaks of them in wall time, as the real
// backends do.
type fakeKernel struct {
	*fence
	ahead    *time.Duration // of the wall clock
	order    kernel.State
	bans     map[source]time.Time
	friends  map[pair]time.Time
	full     []string
	problems []error
	sets     int
	calls    int           // of Ban
	err      error         // of Set
	stuck    chan struct{} // if not nil, Set waits for it whatever its context
}

func (k *fakeKernel) wall(t time.Time) time.Time     { return t.Add(*k.ahead) }
func (k *fakeKernel) timer(wall time.Time) time.Time { return wall.Add(-*k.ahead) }

func (k *fakeKernel) Set(_ context.Context, order kernel.State) (bool, error) {
	k.pass()
	k.sets++
	if k.stuck != nil {
		<-k.stuck
	}
	if k.err != nil {
		return false, k.err
	}
	changed := order.Digest() != k.order.Digest()
	k.order = order
	maps.DeleteFunc(k.bans, func(s source, _ time.Time) bool { return kernel.Covered(s, order.Allow) })
	for _, b := range order.Bans {
		if until := k.timer(b.Until); k.bans[b.Source].Before(until) && !kernel.Covered(b.Source, order.Allow) {
			k.bans[b.Source] = until
		}
	}
	for _, f := range order.Friends {
		if p := (pair{f.Source, f.Port}); k.friends[p].Before(k.timer(f.Until)) {
			k.friends[p] = k.timer(f.Until)
		}
	}
	return changed, nil
}

func (k *fakeKernel) Friends(context.Context) ([]portsnare.Friend, error) {
	k.pass()
	known := friends{until: k.friends}
	list := known.current(time.Now())
	for i := range list {
		list[i].Until = k.wall(list[i].Until)
	}
	return list, nil
}

func (k *fakeKernel) Full(context.Context) ([]string, error) {
	k.pass()
	return k.full, nil
}

func (k *fakeKernel) Bans(context.Context) ([]portsnare.Ban, error) {
	k.pass()
	var bans []portsnare.Ban
	for _, s := range slices.SortedFunc(maps.Keys(k.bans), source.Compare) {
		if until := k.bans[s]; until.After(time.Now()) {
			bans = append(bans, portsnare.Ban{Source: s, Until: k.wall(until)})
		}
	}
	return bans, nil
}

func (k *fakeKernel) Ban(_ context.Context, bans []portsnare.Ban) error {
	k.pass()
	k.calls++
	for _, b := range bans {
		k.bans[b.Source] = k.timer(b.Until)
	}
	return nil
}

func (k *fakeKernel) Problems() []error { k.pass(); return k.problems }

func (k *fakeKernel) Armed(context.Context) (kernel.Standing, error) {
	k.pass()
	return kernel.Standing{Armed: k.order.Host != "", Traps: k.order.Traps.Ports(), Bait: k.order.Traps.Bait}, nil
}

// fakeLink is a Link whose other end is the test.
type fakeLink struct {
	*fence
	orders  chan portsnare.Order
	reports []portsnare.Report
	hits    []portsnare.Hit
	bans    []portsnare.Ban
	ended   []source
	listed  map[source]bool // told, and not ended since
}

func (l *fakeLink) Run(ctx context.Context, onOrder func(portsnare.Order)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case order := <-l.orders:
			onOrder(order)
		}
	}
}

func (l *fakeLink) Report(r portsnare.Report) { l.pass(); l.reports = append(l.reports, r) }
func (l *fakeLink) Hit(h portsnare.Hit)       { l.pass(); l.hits = append(l.hits, h) }
func (l *fakeLink) Ban(b portsnare.Ban) {
	l.pass()
	l.bans = append(l.bans, b)
	l.listed[b.Source] = true
}
func (l *fakeLink) Unban(s source) { l.pass(); l.ended = append(l.ended, s); delete(l.listed, s) }

func (l *fakeLink) last(t *testing.T) portsnare.Report {
	t.Helper()
	if len(l.reports) == 0 {
		t.Fatal("nothing was reported")
	}
	return l.reports[len(l.reports)-1]
}

// fakeSightings are Sightings made by the test.
type fakeSightings struct {
	seen chan kernel.Sighting
	err  chan error
}

func (s *fakeSightings) Run(ctx context.Context, each func(kernel.Sighting)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.err:
			return err
		case one := <-s.seen:
			each(one)
		}
	}
}

// world is an agent and all that is around it. Times in it are those of the
// synctest bubble.
type world struct {
	fence
	t         *testing.T
	dir       string
	kernel    *fakeKernel
	log       *bytes.Buffer
	link      *fakeLink
	sightings *fakeSightings
	listening portsnare.PortSet
	gateways  []netip.Addr
	ahead     time.Duration        // of the wall clock: the bubble's time plus this
	boot      int                  // number of the host's boot
	booted    time.Time            // in bubble time
	ready     portsnare.Generation // armed when the agent called itself ready
	agent     *Agent
	stop      func() error
}

// wall is the wall clock. It has no monotonic reading: who subtracts two of its
// times across a jump gets the jump.
func (w *world) wall() time.Time { w.pass(); return time.Now().Round(0).Add(w.ahead) }

// inWorld runs a test in a bubble of its own.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: dir, log: new(bytes.Buffer), booted: time.Now()}
		w.kernel = w.newKernel()
		test(t, w)
		if w.stop != nil {
			w.stop()
		}
	})
}

// loseEverything is what an administrator does to a kernel.
func (k *fakeKernel) loseEverything() {
	k.order = kernel.State{}
	clear(k.bans)
	clear(k.friends)
}

func (w *world) newKernel() *fakeKernel {
	return &fakeKernel{fence: &w.fence, ahead: &w.ahead, bans: make(map[source]time.Time), friends: make(map[pair]time.Time)}
}

// start starts an agent, as after a boot: link and sightings are new.
func (w *world) start() {
	w.link = &fakeLink{fence: &w.fence, orders: make(chan portsnare.Order), listed: map[source]bool{}}
	w.sightings = &fakeSightings{seen: make(chan kernel.Sighting), err: make(chan error)}
	w.agent = New(Config{
		Host: "web-1", Dir: w.dir, Version: "test", Program: "fake",
		Backend: w.kernel, Link: w.link, Sightings: w.sightings,
		Listening:  func() (portsnare.PortSet, error) { w.pass(); return w.listening, nil },
		Gateways:   func() ([]netip.Addr, error) { w.pass(); return w.gateways, nil },
		Controller: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("203.0.113.5")} },
		Ready:      func() { w.ready = w.kernel.order.Generation },
		Logger:     slog.New(slog.NewTextHandler(w.log, nil)),
		Now:        w.wall,
		Boot: func() (string, time.Duration) {
			w.pass()
			return fmt.Sprint("boot-", w.boot), time.Since(w.booted)
		},
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.agent.Run(ctx) }()
	w.stop = func() error { cancel(); return <-ended }
	synctest.Wait()
}

func (w *world) restart() {
	if err := w.stop(); err != nil {
		w.t.Errorf("Run = %v; want nil at the end of its context", err)
	}
	w.start()
}

// reboot has the agent die with the host, which is off for some time; then the wall
// clock has moved by jump too.
func (w *world) reboot(off, jump time.Duration) {
	w.t.Helper()
	if err := w.stop(); err != nil {
		w.t.Errorf("Run = %v; want nil at the end of its context", err)
	}
	w.wait(off)
	w.ahead += jump
	w.boot++
	w.booted = time.Now()
	w.kernel = w.newKernel()
	w.start()
}

func (w *world) send(order portsnare.Order) {
	w.link.orders <- order
	synctest.Wait()
}

// see has the kernel log a packet, and ban its source where it was the last.
func (w *world) see(from, port string, ban bool) {
	s := kernel.Sighting{Ban: ban, Source: netip.MustParseAddr(from), Port: parsePort(port), At: w.wall()}
	if ban {
		w.kernel.bans[portsnare.BanPrefix(s.Source)] = time.Now().Add(portsnare.DefaultPolicy().BanMin)
	}
	w.sightings.seen <- s
	synctest.Wait()
}

func (w *world) wait(d time.Duration) {
	w.pass()
	time.Sleep(d)
	synctest.Wait()
}

func parsePort(s string) portsnare.Port {
	p, err := portsnare.ParsePort(s)
	if err != nil {
		panic(err)
	}
	return p
}

func parsePorts(s string) portsnare.PortSet {
	set, err := portsnare.ParsePortSet(s)
	if err != nil {
		panic(err)
	}
	return set
}

// newOrder has its traps at 1000 times the generation.
func newOrder(generation portsnare.Generation) portsnare.Order {
	base := portsnare.Port{Protocol: portsnare.TCP, Number: uint16(generation) * 1000}
	return portsnare.Order{
		Host: "web-1", Group: "web", Generation: generation,
		Traps: portsnare.Traps{
			Secret: portsnare.NewPortSet(portsnare.PortRange{Protocol: portsnare.TCP, From: base.Number, To: base.Number + 9}),
			Bait:   parsePorts("23/tcp"),
		},
		Protected: parsePorts("22/tcp"),
		Policy:    portsnare.DefaultPolicy(),
	}
}

var errBroken = &portsnare.Error{Kind: portsnare.Unavailable, Err: errors.New("ipset is missing"), Hint: "apt-get install ipset"}
