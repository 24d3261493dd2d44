package hostagent

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// Agent is the agent of one host.
type Agent struct {
	config Config

	orders    chan portsnare.Order // holds the newest one not yet taken
	sightings chan kernel.Sighting // on their way from the kernel

	// All below belongs to the goroutine of loop, and to Run before it.

	order     *portsnare.Order // the newest valid one, as received
	former    portsnare.Order  // the one before it, to which late hits belong
	armed     string           // serial of the order surely in the kernel; "" for none
	saved     string           // serial of the order on disk
	told      portsnare.Report // the last report
	listening portsnare.PortSet
	gateways  []netip.Addr
	trails    *trails
	ledger    *ledger
	orphans   map[source]bool   // bans in the kernel that nobody has told of yet
	unsaved   <-chan time.Time  // fires when the ledger is to be saved; nil if it is
	friends   friends           // those known, for the day when the kernel does not
	full      []string          // memories of the kernel, when they were measured last
	troubles  map[string]string // what does not work now, by log message
}

// sightingBuffer is how many sightings wait while the agent programs the
// kernel. Beyond it the reader waits too, and the kernel drops and counts.
const sightingBuffer = 1024

// saveDelay is how long bans may wait to be saved, so that many are saved at
// once. What a kill costs is found in the kernel again.
const saveDelay = time.Second

// New returns an agent. It does nothing before Run.
func New(config Config) *Agent {
	if config.Reconcile == 0 {
		config.Reconcile = DefaultReconcile
	}
	if config.Heartbeat == 0 {
		config.Heartbeat = DefaultHeartbeat
	}
	if config.Remember == 0 {
		config.Remember = DefaultRemember
	}
	if config.Ready == nil {
		config.Ready = func() {}
	}
	if config.Controller == nil {
		config.Controller = func() []netip.Addr { return nil }
	}
	return &Agent{
		config:    config,
		orders:    make(chan portsnare.Order, 1),
		sightings: make(chan kernel.Sighting, sightingBuffer),
		trails:    newTrails(),
		ledger:    newLedger(),
		troubles:  make(map[string]string),
	}
}

// Run arms the order saved last and then follows the controller until ctx
// ends, which is no error. What is in the kernel stays there.
func (a *Agent) Run(ctx context.Context) error {
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
	defer a.saveBans()
	defer a.rememberAtLast(ctx)
	reconcile := time.NewTicker(a.config.Reconcile)
	defer reconcile.Stop()
	heartbeat := time.NewTicker(a.config.Heartbeat)
	defer heartbeat.Stop()
	remember := time.NewTicker(a.config.Remember)
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
			a.measure(ctx)
			a.report()
		case <-remember.C:
			a.remember(ctx)
		case <-a.unsaved:
			a.saveBans()
		}
	}
}

// reconcile puts right what others, or a failure, have left wrong.
func (a *Agent) reconcile(ctx context.Context) {
	a.arm(ctx)
	a.adopt(ctx)
	a.ledger.prune(time.Now())
	a.listen()
	if now := a.describe(); now.Armed != a.told.Armed || now.Problem != a.told.Problem || !now.Listening.Equal(a.told.Listening) {
		a.report()
	}
}

func (a *Agent) listen() {
	ports, err := a.config.Listening()
	if a.trouble(msgNoListening, err); err == nil {
		a.listening = ports
	}
}

// describe returns the report of this moment.
func (a *Agent) describe() portsnare.Report {
	now := time.Now()
	report := portsnare.Report{
		Host:      a.config.Host,
		At:        now.UTC(),
		Version:   a.config.Version,
		Backend:   a.config.Program,
		Armed:     a.armed,
		Problem:   strings.Join(slices.Sorted(maps.Values(a.troubles)), "; "),
		Listening: a.listening,
		Bans:      len(a.ledger.active(now)),
		Full:      a.full,
	}
	if a.armed != "" {
		report.Generation, report.ArmedTraps = a.order.Generation, a.order.TrapsSerial
	}
	return report
}

func (a *Agent) report() {
	a.told = a.describe()
	a.config.Link.Report(a.told)
}

// trouble notes for the report that something does not work, or with a nil
// error that it does again. It is logged once, however often it is tried.
func (a *Agent) trouble(message string, err error) {
	if err == nil {
		delete(a.troubles, message)
		return
	}
	hint := portsnare.HintOf(err)
	text := message + ": " + err.Error()
	if hint != "" {
		text += " (" + hint + ")"
	}
	if a.troubles[message] != text {
		a.config.Logger.Error(message, keyError, err, keyHint, hint)
	}
	a.troubles[message] = text
}
