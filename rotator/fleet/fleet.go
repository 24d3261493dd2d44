// Package fleet owns the order of every host: it is the only place that composes
// one. Rotators say which traps the hosts watch, others say the rest, and whoever
// changes their part leaves the others' parts as they are. A host that moves
// between groups watches the traps of both until the former group releases it.
package fleet

import (
	"context"
	"errors"
	"maps"
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
	rest    Rest
	known   bool                          // rest was set
	parts   map[string]*portsnare.TrapSet // by name of the part; nil until it is armed
	changed chan struct{}                 // closed when a part changes
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
	return f.change(ctx, hosts, func(h *host) { h.rest, h.known = rest, true })
}

// change changes what hosts are to have and sends an order to each whose parts
// are all known.
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
		if len(h.silent()) == 0 && h.says() {
			orders = append(orders, h.order(name))
		}
	}
	f.mu.Unlock()
	return f.send(ctx, orders)
}

func (f *Fleet) send(ctx context.Context, orders []portsnare.Order) error {
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

func (f *Fleet) get(name string) (host, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.hosts[name]
	h.parts = maps.Clone(h.parts)
	return h, h.known
}

func errUnknown(name string) error {
	return &portsnare.Error{Kind: portsnare.NotFound, Op: "arm", Subject: name, Err: errors.New("no group has this host")}
}
