package rotator

import (
	"context"
	"slices"
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

// callTimer is a firewall that knows how long a call of its can be on its way.
type callTimer interface {
	CallTimeout() time.Duration
}

// Fleet arms hosts and hears them. A host may be armed by several groups; it
// watches the traps of all of them.
type Fleet interface {
	// Arm sends each of the hosts an order to watch the traps of set, all at once.
	// The orders are stored, durably, when it returns.
	Arm(ctx context.Context, hosts []string, set portsnare.TrapSet) error
	// Await returns when the host reports that it watches set, or with an error
	// that says what is known of the host.
	Await(ctx context.Context, host string, set portsnare.TrapSet) error
	// Watches and Carries report whether the newest report of the host says that
	// it watches set, and that it has its whole order with set.
	Watches(host string, set portsnare.TrapSet) bool
	Carries(host string, set portsnare.TrapSet) bool
	// Release takes the group's traps out of the orders of hosts that have left it.
	// The orders are stored, durably, when it returns.
	Release(ctx context.Context, hosts []string) error
	// Report returns the newest report of the host. Its At is when the controller
	// heard it, by the controller's clock.
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

// Group is what the operator wants of one firewall and the hosts behind it.
type Group struct {
	Owner         string // the installation of the controller, a name
	Name          string
	Hosts         []string
	Protected     portsnare.PortSet // public ports included
	Public        portsnare.PortSet
	Avoid         portsnare.PortSet
	Sources       []portsnare.Source // whom the traps are opened to
	Traps         placement.Wish
	Policy        portsnare.Policy
	Schedule      Schedule
	Grace         time.Duration // between the cloud's closing and the hosts' disarming
	ReportTimeout time.Duration
	OnMissing     OnMissing
	Repair        time.Duration // how often the firewall is compared with what it should hold
	CloudFirewall bool          // false where only the hosts filter
	// Where is the firewall. Retired: the group is no longer configured, so
	// everything that it has opened is closed, and then its hosts are disarmed.
	Where   Where
	Retired bool
}

// Mark returns the owner mark of the group's rules. A retired group of the first
// version has no owner.
func (g Group) Mark() portsnare.Mark {
	if g.Owner == "" {
		return g.FirstMark()
	}
	return portsnare.NewMark(g.Owner, g.Name)
}

// FirstMark returns the mark that the first version gave the group's rules.
func (g Group) FirstMark() portsnare.Mark { return portsnare.Mark(g.Name) }

// Part is the name of the group's part in the orders of hosts.
func (g Group) Part() string {
	if g.Retired { // the name may be in use again, for another firewall
		return "retired." + g.Where.Kind + "." + g.Where.Firewall + "." + g.Name
	}
	return g.Name
}

// Place returns the place where the group opens its traps.
func (g Group) Place() Place {
	return Place{Where: g.Where, Mark: g.Mark(), Group: g.Name,
		Hosts: slices.Sorted(slices.Values(g.Hosts)), Protected: g.Protected, Public: g.Public}
}
