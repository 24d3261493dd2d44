package hostagent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// restore takes up what an earlier agent has saved, and arms it. Saved state
// that cannot be used is no reason not to start: the controller has it too.
func (a *Agent) restore(ctx context.Context) {
	bans, err := LoadBans(a.config.Dir)
	a.unusable(msgBansUnread, err)
	a.keep(bans)
	known, err := LoadFriends(a.config.Dir)
	a.unusable(msgFriendsUnread, err)
	a.friends.restore(known)
	a.listen()
	order, err := LoadOrder(a.config.Dir)
	if err == nil {
		err = a.check(order)
	}
	if a.unusable(msgOrderUnread, err); err == nil {
		a.order, a.saved = &order, serialOf(order)
		a.arm(ctx)
	}
	a.report()
}

func (a *Agent) unusable(message string, err error) {
	if err != nil && !errors.Is(err, portsnare.NotFound) {
		a.config.Logger.Warn(message, keyError, err)
	}
}

// take makes a received order the present one, whatever its generation: the
// controller knows best. One that is not valid changes nothing.
func (a *Agent) take(ctx context.Context, order portsnare.Order) {
	err := a.check(order)
	if a.trouble(msgRefused, err); err != nil {
		return
	}
	if a.order != nil && a.order.Generation != order.Generation {
		a.former = *a.order
	}
	a.order = &order
	a.arm(ctx)
}

func (a *Agent) check(order portsnare.Order) error {
	if order.Host != a.config.Host {
		return fmt.Errorf("it is for host %q, this is %q", order.Host, a.config.Host)
	}
	return order.Validate()
}

// arm has the present order programmed and saved. After a failure the agent
// vouches for nothing until it has succeeded.
func (a *Agent) arm(ctx context.Context) {
	if a.order == nil {
		return
	}
	serial := serialOf(*a.order)
	changed, err := a.program(ctx)
	if err == nil && changed && a.armed == serial {
		a.friends.lost = true // who damaged one thing may have damaged more
		_, err = a.program(ctx)
	}
	if a.trouble(msgNotArmed, err); err != nil {
		a.armed = ""
		return
	}
	switch {
	case a.armed != serial:
		a.config.Logger.Info(msgArmed, keyGeneration, a.order.Generation)
		a.friends.lost = true // in haste nobody saw whether they stand; the next look will
	case changed:
		a.config.Logger.Info(msgRepaired, keyGeneration, a.order.Generation)
	}
	a.armed = serial
	if a.saved == serial {
		return
	}
	err = saveOrder(a.config.Dir, *a.order)
	if a.trouble(msgOrderUnsaved, err); err == nil {
		a.saved = serial
	}
}

// serialOf returns what a report says once the order is armed. Controllers of the
// first version give no serial and expect the digest.
func serialOf(order portsnare.Order) string {
	if order.Serial != "" {
		return order.Serial
	}
	return order.Digest()
}

// program has the present order programmed, and the friends if the kernel may
// not know them.
func (a *Agent) program(ctx context.Context) (changed bool, err error) {
	state := a.complete(*a.order)
	if a.friends.lost {
		state.Friends = a.friends.current(time.Now())
	}
	changed, err = a.config.Backend.Set(ctx, state)
	a.friends.lost = a.friends.lost && err != nil
	return changed, err
}

// complete adds to an order what only the host knows: whom it must never shut
// out, and the bans in force.
func (a *Agent) complete(order portsnare.Order) kernel.State {
	gateways, err := a.config.Gateways()
	if a.trouble(msgNoGateways, err); err == nil {
		a.gateways = gateways
	}
	allow := slices.Clone(order.Allow)
	for _, addr := range slices.Concat(a.gateways, a.config.Controller()) {
		addr = addr.Unmap().WithZone("")
		allow = append(allow, netip.PrefixFrom(addr, addr.BitLen()))
	}
	slices.SortFunc(allow, netip.Prefix.Compare)
	order.Allow = slices.Compact(allow)
	a.ledger.lift(order.Allow)
	return kernel.State{Order: order, Bans: a.ledger.active(time.Now())}
}

// class returns what trap a port is, and of which generation. A hit may be
// older than the present order, or the trap may have been retired just now.
func (a *Agent) class(port portsnare.Port) (portsnare.Class, portsnare.Generation) {
	var present portsnare.Order
	if a.order != nil {
		present = *a.order
	}
	for _, order := range []portsnare.Order{present, a.former} {
		if class := order.Traps.Class(port); class != "" {
			return class, order.Generation
		}
	}
	return "", present.Generation
}

// policy returns the policy in force.
func (a *Agent) policy() portsnare.Policy {
	if a.order == nil {
		return portsnare.DefaultPolicy()
	}
	return a.order.Policy
}
