package hostagent

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// Agent is the agent of one host.
type Agent struct {
	config Config

	orders    chan portsnare.Order // holds the newest one not yet taken
	sightings chan kernel.Sighting // on their way from the kernel

	// All below belongs to the goroutine of loop, and to run before it.

	clock      *clock
	store      store
	lastMoment moment    // saved by the agent before this one
	momentFrom time.Time // when the present one is to be saved again

	order    *portsnare.Order // the newest valid one, as received
	former   formerTraps      // of the generation before it, to which late hits belong
	extra    portsnare.Traps  // found in the kernel, of an order newer than the saved one
	inKernel string           // serial of the order surely in the kernel; "" for none
	saved    string           // serial of the order on disk
	repairs  int              // see portsnare.Report
	gateways []netip.Addr
	lifted   []netip.Prefix // the allow list to which the ledger conforms

	trails    *trails
	ledger    *ledger
	orphans   map[source]bool  // bans in the kernel that nobody has told of yet
	shifted   time.Duration    // of the clock, when all bans were told
	unsaved   <-chan time.Time // fires when the ledger is to be saved; nil if it is
	bansSize  int              // of the ledger on disk, in bytes
	banLines  *rate.Limiter    // of the log
	unlogged  int              // bans that no line of the log has named
	friends   friends          // those known, for the day when the kernel does not
	listening portsnare.PortSet
	full      []string           // memories of the kernel, when they were measured last
	troubles  map[string]trouble // what does not work now, by log message
	told      portsnare.Report   // the last report
}

const (
	// sightingBuffer is how many sightings wait while the agent programs the
	// kernel. Beyond it the reader waits too, and the kernel drops and counts.
	sightingBuffer = 1024
	// stopTime is how long Run may go on after its context has ended, and
	// lastLook how long of that the last look at the friends may take.
	stopTime = 900 * time.Millisecond
	lastLook = 400 * time.Millisecond
	// measureEvery is the time between two looks at how full the kernel's
	// memories are.
	measureEvery = 30 * time.Second
)

// New returns an agent. It does nothing before Run.
func New(config Config) *Agent {
	config.complete()
	return &Agent{
		config:    config,
		orders:    make(chan portsnare.Order, 1),
		sightings: make(chan kernel.Sighting, sightingBuffer),
		clock:     newClock(config.Now),
		store:     store{dir: config.Dir},
		trails:    newTrails(),
		ledger:    newLedger(),
		banLines:  rate.NewLimiter(rate.Every(time.Second), banLineBurst),
		troubles:  make(map[string]trouble),
	}
}

// Run arms the order saved last and then follows the controller until ctx
// ends, which is no error. What is in the kernel stays there. It returns within a
// second of that end: with an error if something that it called has not returned.
func (a *Agent) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- a.run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(stopTime):
		return &portsnare.Error{Kind: portsnare.Transient, Op: "stop the agent",
			Err: errors.New("a call to the kernel or to the disk has not returned; what was armed stays armed")}
	}
}

func (a *Agent) run(ctx context.Context) error {
	a.restore(ctx)
	a.config.Ready()
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error { return a.config.Link.Run(inner, a.receive) })
	group.Go(func() error {
		return a.config.Sightings.Run(inner, func(s kernel.Sighting) {
			select {
			case a.sightings <- s:
			case <-inner.Done():
			}
		})
	})
	group.Go(func() error { a.loop(inner); return nil })
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// receive leaves an order for the loop, in the place of one not yet taken.
func (a *Agent) receive(order portsnare.Order) {
	for {
		select {
		case a.orders <- order:
			return
		default:
		}
		select {
		case <-a.orders:
		default:
		}
	}
}

func (a *Agent) loop(ctx context.Context) {
	defer a.finish(ctx)
	reconcile := time.NewTicker(a.config.Reconcile)
	defer reconcile.Stop()
	heartbeat := time.NewTicker(a.config.Heartbeat)
	defer heartbeat.Stop()
	measure := time.NewTicker(measureEvery)
	defer measure.Stop()
	remember := time.NewTimer(a.config.Remember)
	defer remember.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case order := <-a.orders:
			a.take(ctx, order)
			a.report()
		case s := <-a.sightings:
			a.see(ctx, s)
		case <-reconcile.C:
			a.reconcile(ctx)
		case <-heartbeat.C:
			a.report()
		case <-measure.C:
			a.measure(ctx)
		case <-remember.C:
			remember.Reset(a.remember(ctx))
		case <-a.unsaved:
			a.saveBans()
		}
	}
}

// reconcile puts right what others, or a failure, have left wrong.
func (a *Agent) reconcile(ctx context.Context) {
	a.endBans()
	a.arm(ctx)
	a.adopt(ctx)
	a.listen()
	a.logUnlogged()
	if a.news() {
		a.report()
	}
}

// finish saves what is not saved although the agent is about to end. What it has
// no time for is found in the kernel again.
func (a *Agent) finish(ctx context.Context) {
	a.saveBans()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	a.friends.saveFrom, a.momentFrom = time.Time{}, time.Time{}
	a.remember(ctx)
}
