package rotator

import (
	"context"
	"net/netip"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/placement"
)

// Firewall is a cloud firewall as far as a rotation needs it. The mark of the
// group is the firewall's own business: what Apply opens bears it.
type Firewall interface {
	// Rules returns every inbound rule, foreign ones included. A firewall that
	// does not exist is an error of kind NotFound, never an empty list.
	Rules(ctx context.Context) ([]portsnare.Rule, error)
	// Limits returns how much the firewall can hold.
	Limits(ctx context.Context) (portsnare.Limits, error)
	// Apply carries out a plan, opening before it closes where there is room,
	// and returns what truly changed, also beside an error.
	Apply(ctx context.Context, plan portsnare.Plan) (portsnare.Done, error)
}

// Fleet carries orders to hosts and reports back.
type Fleet interface {
	// Send stores each order for its host, durably, and delivers it when the
	// host is there.
	Send(ctx context.Context, orders ...portsnare.Order) error
	// Await returns when the order's host reports that it has armed its traps, or
	// with an error that says what is known of the host.
	Await(ctx context.Context, order portsnare.Order) error
	// Report returns the newest report of the host.
	Report(host string) (portsnare.Report, bool)
}

// Store keeps small values, durably from the moment that Put returns.
type Store interface {
	// Get returns the value last put under key, and its revision, which is never
	// 0. It returns an error of kind NotFound where nothing was put.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Put replaces the value of that revision, 0 where there is to be none, and
	// returns the new revision. Where another value stands there by now it
	// returns an error of kind Conflict, and changes nothing.
	Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
}

// OnMissing says what a rotation does about a host that does not report.
type OnMissing string

// What to do about a host that does not report in time.
const (
	Hold    OnMissing = "hold"    // keep the present generation, try again
	Proceed OnMissing = "proceed" // go on without the host
)

// Schedule says when a group rotates: after a random time from Min to Max, or
// at the times of a cron line where Cron is not empty.
type Schedule struct {
	Min, Max time.Duration
	Cron     string // five fields, local time
}

// Group is what the operator wants of one firewall and the hosts behind it.
type Group struct {
	Name          string
	Hosts         []string
	Protected     portsnare.PortSet // public ports included
	Public        portsnare.PortSet
	Avoid         portsnare.PortSet
	Sources       []portsnare.Source // whom the traps are opened to
	Allow         []netip.Prefix
	Traps         placement.Wish
	Policy        portsnare.Policy
	Schedule      Schedule
	Grace         time.Duration // between the cloud's closing and the hosts' disarming
	ReportTimeout time.Duration
	OnMissing     OnMissing
	Repair        time.Duration // how often the firewall is compared with what it should hold
	CloudFirewall bool          // false where only the hosts filter
}

// Mark returns the owner mark of the group's rules.
func (g Group) Mark() portsnare.Mark { return portsnare.Mark(g.Name) }

// order returns what host must program. Protected ports are never traps,
// whatever the trap set says.
func (g Group) order(host string, generation portsnare.Generation, traps portsnare.Traps) portsnare.Order {
	return sealed(portsnare.Order{
		Host:          host,
		Group:         g.Name,
		Generation:    generation,
		Traps:         traps.Minus(g.Protected),
		Protected:     g.Protected,
		Public:        g.Public,
		Policy:        g.Policy,
		CloudFirewall: g.CloudFirewall,
		Allow:         g.Allow,
	})
}

// sealed gives an order its serials. They follow from the content, so that a
// controller that was restarted knows its own orders again, and that of the whole
// is the digest that agents of the first version report.
func sealed(o portsnare.Order) portsnare.Order {
	o.Serial = o.Digest()
	o.TrapsSerial = portsnare.Order{Host: o.Host, Generation: o.Generation, Traps: o.Traps}.Digest()
	return o
}

// wanted returns what the firewall shall hold of ours.
func (g Group) wanted(ranges []portsnare.PortRange) portsnare.Wanted {
	return portsnare.Wanted{
		Mark:      g.Mark(),
		Openings:  portsnare.OpeningsOf(ranges, g.Sources...),
		Protected: g.Protected,
	}
}
