package hostagent

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// Backend programs the kernel.
type Backend interface {
	// Set makes the kernel hold the state, and reports whether anything had to
	// be changed. Bans and friends that are there already are kept, those of the
	// state added.
	Set(ctx context.Context, state kernel.State) (changed bool, err error)
	// Bans returns the bans in force in the kernel. Source and Until are set.
	Bans(ctx context.Context) ([]portsnare.Ban, error)
	// Ban shuts each Source out until its Until, also if it is shut out already:
	// all of them in one transaction, or none.
	Ban(ctx context.Context, bans []portsnare.Ban) error
	// Friends returns the friends that the kernel knows.
	Friends(ctx context.Context) ([]portsnare.Friend, error)
	// Full returns the names of the kernel's tables that are full, sorted.
	Full(ctx context.Context) ([]string, error)
	// Problems returns what Set could not do although the traps are armed.
	Problems() []error
	// Armed returns what stands in the kernel.
	Armed(ctx context.Context) (kernel.Standing, error)
}

// Link connects the agent with its controller.
type Link interface {
	// Run calls onOrder with each order, one at a time, until ctx ends.
	Run(ctx context.Context, onOrder func(portsnare.Order)) error
	Outbox
}

// Outbox takes what the controller shall know. Its methods never block.
type Outbox interface {
	Report(portsnare.Report) // only the newest counts
	Hit(portsnare.Hit)
	Ban(portsnare.Ban)         // has begun, or changed
	Unban(source netip.Prefix) // was lifted, or is over
}

// Sightings are what the kernel program logs.
type Sightings interface {
	// Run calls each with one sighting after the other until ctx ends.
	Run(ctx context.Context, each func(kernel.Sighting)) error
}

// Config is all that an [Agent] needs. What is not said to be optional is not.
type Config struct {
	Host    string // the name by which the controller knows this host
	Dir     string // state directory; it exists and nobody else can read it
	Version string // of the program, for the report
	Program string // what the backend is, "ipset" or "nftables", for the report

	Backend   Backend
	Link      Link
	Sightings Sightings

	Listening  func() (portsnare.PortSet, error) // ports with a local socket; see [Listening]
	Gateways   func() ([]netip.Addr, error)      // never banned; see [Gateways]
	Controller func() []netip.Addr               // never banned; optional

	Ready  func() // called once the order saved last is armed; optional
	Logger *slog.Logger

	Reconcile time.Duration // between two looks at the kernel; 3 s if 0
	Heartbeat time.Duration // between two reports when nothing happens; 5 s if 0
	Remember  time.Duration // between two looks at the friends, to save them; 5 s if 0

	// Now is the wall clock, which may jump; time.Now if nil. Boot names the
	// present run of the kernel and says for how long it has been up, which does
	// not jump; see [Boot], which it is if nil.
	Now  func() time.Time
	Boot func() (id string, up time.Duration)
}

// Defaults of a [Config]. A look at the kernel that finds everything in order
// takes some 5 ms of one processor.
const (
	DefaultReconcile = 3 * time.Second
	DefaultHeartbeat = 5 * time.Second // a host is missing after three of them
	DefaultRemember  = 5 * time.Second
)

// complete sets what was left out.
func (c *Config) complete() {
	c.Reconcile = cmp.Or(c.Reconcile, DefaultReconcile)
	c.Heartbeat = cmp.Or(c.Heartbeat, DefaultHeartbeat)
	c.Remember = cmp.Or(c.Remember, DefaultRemember)
	if c.Ready == nil {
		c.Ready = func() {}
	}
	if c.Controller == nil {
		c.Controller = func() []netip.Addr { return nil }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Boot == nil {
		c.Boot = Boot
	}
}
