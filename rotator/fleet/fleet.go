// Package fleet owns the order of every host: it is the only place that composes
// one. The rotator says which traps the hosts watch, others say the rest, and
// whoever changes his part leaves the others' parts as they are.
package fleet

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"

	"github.com/portsnare/portsnare"
)

// Link carries orders to hosts and reports back.
type Link interface {
	// Send stores the orders for their hosts, durably and all at once, and
	// delivers them when the hosts are there.
	Send(ctx context.Context, orders ...portsnare.Order) error
	// Await returns when the order's host reports that it has armed its traps, or
	// with an error that says what is known of the host.
	Await(ctx context.Context, order portsnare.Order) error
	// Report returns the newest report of the host.
	Report(host string) (portsnare.Report, bool)
}

// Rest is everything in a host's order but the traps.
type Rest struct {
	Group         string
	Protected     portsnare.PortSet // public ports included
	Public        portsnare.PortSet
	Policy        portsnare.Policy
	CloudFirewall bool
	Alarm         bool
	Allow         []netip.Prefix
}

// Fleet composes the orders of hosts. Its methods may be called from any
// goroutine.
type Fleet struct {
	link Link
	turn chan struct{} // holds a value while orders are sent, so that the newest is the last

	mu    sync.Mutex // guards hosts
	hosts map[string]host
}

// host is what the order of one host is composed of.
type host struct {
	rest Rest
	set  portsnare.TrapSet
	told bool // the set is known: it was sent once
}

// New returns a fleet without hosts.
func New(link Link) *Fleet {
	return &Fleet{link: link, turn: make(chan struct{}, 1), hosts: map[string]host{}}
}

// Set gives hosts everything but their traps. Those whose traps are known get a
// new order; the others get theirs with the first call of Arm. Waiting for traps
// that are being armed is not disturbed by it.
func (f *Fleet) Set(ctx context.Context, hosts []string, rest Rest) error {
	rest.Allow = slices.Clone(rest.Allow)
	return f.change(ctx, hosts, func(h *host) { h.rest = rest })
}

// Arm sends each of the hosts an order to watch the traps of set, and those only.
// A host that Set does not know is an error of kind NotFound. A protected port is
// never a trap, whatever set says.
func (f *Fleet) Arm(ctx context.Context, hosts []string, set portsnare.TrapSet) error {
	for _, name := range hosts {
		if _, known := f.get(name); !known {
			return errUnknown(name)
		}
	}
	return f.change(ctx, hosts, func(h *host) { h.set, h.told = set, true })
}

// change changes what hosts are to have and sends them their orders.
func (f *Fleet) change(ctx context.Context, hosts []string, do func(*host)) error {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var orders []portsnare.Order
	f.mu.Lock()
	for _, name := range hosts {
		h := f.hosts[name]
		do(&h)
		f.hosts[name] = h
		if h.told {
			orders = append(orders, h.order(name))
		}
	}
	f.mu.Unlock()
	for _, order := range orders {
		if err := order.Validate(); err != nil {
			return err
		}
	}
	if len(orders) == 0 {
		return nil
	}
	return f.link.Send(ctx, orders...)
}

// Await returns when the host reports that it watches the traps of set, or with
// an error that says what is known of it.
func (f *Fleet) Await(ctx context.Context, name string, set portsnare.TrapSet) error {
	h, known := f.get(name)
	if !known {
		return errUnknown(name)
	}
	h.set = set
	return f.link.Await(ctx, h.order(name))
}

// Watches reports whether the newest report of the host says that it watches the
// traps of set.
func (f *Fleet) Watches(name string, set portsnare.TrapSet) bool {
	report, order, ok := f.reported(name, set)
	return ok && report.Watches(order)
}

// Carries reports whether the newest report of the host says that it has armed
// its whole order, with the traps of set.
func (f *Fleet) Carries(name string, set portsnare.TrapSet) bool {
	report, order, ok := f.reported(name, set)
	return ok && report.Carries(order)
}

func (f *Fleet) reported(name string, set portsnare.TrapSet) (portsnare.Report, portsnare.Order, bool) {
	h, known := f.get(name)
	report, ok := f.link.Report(name)
	h.set = set
	return report, h.order(name), known && ok
}

// Report returns the newest report of the host.
func (f *Fleet) Report(name string) (portsnare.Report, bool) { return f.link.Report(name) }

func (f *Fleet) get(name string) (host, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, known := f.hosts[name]
	return h, known
}

func errUnknown(name string) error {
	return &portsnare.Error{Kind: portsnare.NotFound, Op: "arm", Subject: name, Err: errors.New("no group has this host")}
}
