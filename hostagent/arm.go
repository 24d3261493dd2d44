package hostagent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// restore takes up what an earlier agent has saved, and arms it. Saved state
// that cannot be used is no reason not to start: the controller has the order, the
// kernel the bans and the friends.
func (a *Agent) restore(ctx context.Context) {
	a.restoreMoment()
	a.restoreBans()
	a.restoreFriends()
	a.listen()
	a.restoreOrder(ctx)
	a.report()
}

func (a *Agent) restoreOrder(ctx context.Context) {
	saved, err := readOrder(a.config.Dir)
	if err == nil {
		err = a.check(saved.Order)
	}
	if a.unusable(msgOrderUnread, err); err != nil {
		return
	}
	if saved.damage != nil {
		a.config.Logger.Warn(msgOrderHalf, keyError, saved.damage)
	}
	a.order, a.former = &saved.Order, saved.Former
	if saved.whole {
		a.saved = serialOf(saved.Order)
	}
	a.keepStanding(ctx, saved.Order)
	a.arm(ctx)
}

// keepStanding keeps those traps that stand in the kernel, though the saved order
// does not have them: it is older than the last one, which could not be saved. The
// cloud may have either open, so both stay armed until the controller says which.
func (a *Agent) keepStanding(ctx context.Context, order portsnare.Order) {
	standing, err := a.config.Backend.Armed(ctx)
	if err != nil {
		return // whoever cannot look cannot arm either, and says so
	}
	extra := standing.Traps.Minus(order.Traps.Ports()).Minus(order.Protected)
	if !standing.Armed || extra.Empty() {
		return
	}
	a.extra = portsnare.Traps{Secret: extra.Minus(standing.Bait), Bait: extra.Intersect(standing.Bait)}
	a.trouble(msgOrderOlder, fmt.Errorf("the kernel has %d more traps than the saved order of generation %s: they stay armed until the controller sends an order", extra.Len(), order.Generation))
}

// unusable tells that a file in the state directory is of no use. An order that is
// missing for that stays in the report until the controller has sent another.
func (a *Agent) unusable(message string, err error) {
	if err == nil || errors.Is(err, portsnare.NotFound) {
		return
	}
	if message == msgOrderUnread {
		a.trouble(message, err)
		return
	}
	a.config.Logger.Warn(message, keyError, err)
}

// take makes a received order the present one, whatever its generation: the
// controller knows best. One that is not valid changes nothing.
func (a *Agent) take(ctx context.Context, order portsnare.Order) {
	err := a.check(order)
	if a.trouble(msgRefused, err); err != nil {
		return
	}
	a.trouble(msgOrderUnread, nil)
	a.trouble(msgOrderOlder, nil)
	a.extra = portsnare.Traps{}
	if a.order != nil {
		a.former = succeed(a.former, *a.order, order)
	}
	a.order = &order
	a.arm(ctx)
}

// succeed returns the traps of the generation before the one of next, which comes
// after order.
//
// While a rotation arms two generations, the order's traps are the union of both,
// under the number of the newer. A trap that stood before belongs to the older
// generation as long as that is armed as a whole, also if the newer one has it too:
// whoever hits it may have learnt of it from the older. It belongs to the newer one
// as soon as a trap of the older is gone, for then the newer one alone is armed.
func succeed(former formerTraps, order, next portsnare.Order) formerTraps {
	if next.Generation != order.Generation {
		missing := order.Traps.Ports().Minus(next.Traps.Ports()).Minus(next.Protected)
		return formerTraps{Generation: order.Generation, Traps: order.Traps, Armed: missing.Empty()}
	}
	gone := order.Traps.Ports().Minus(next.Traps.Ports()).Minus(next.Protected)
	former.Armed = former.Armed && gone.Empty()
	return former
}

// Bounds of an order, beside those of [portsnare.Order.Validate]. They are far
// above what a controller sends, and below what would keep the host busy.
const (
	maxAllow  = 10_000
	maxSerial = 256 // bytes
)

func (a *Agent) check(order portsnare.Order) error {
	switch {
	case order.Host != a.config.Host:
		return fmt.Errorf("it is for host %q, this is %q", portsnare.Plain(order.Host), a.config.Host)
	case len(order.Allow) > maxAllow:
		return fmt.Errorf("its allow list has %d entries: want at most %d", len(order.Allow), maxAllow)
	case len(order.Serial) > maxSerial || len(order.TrapsSerial) > maxSerial:
		return fmt.Errorf("a serial has more than %d bytes", maxSerial)
	}
	return order.Validate()
}

// arm has the present order programmed and saved. The agent vouches for it when
// both are done. Until then the kernel keeps what it has, and the disk too.
func (a *Agent) arm(ctx context.Context) {
	if a.order == nil {
		return
	}
	serial := serialOf(*a.order)
	changed, err := a.program(ctx)
	if err == nil && changed && a.inKernel == serial {
		a.friends.lost = true // who damaged one thing may have damaged more
		_, err = a.program(ctx)
	}
	if a.trouble(msgNotArmed, err); err != nil {
		a.inKernel = ""
		return
	}
	a.trouble(msgIncomplete, errors.Join(a.config.Backend.Problems()...))
	switch {
	case a.inKernel != serial:
		a.config.Logger.Info(msgArmed, keyGeneration, a.order.Generation)
		a.friends.lost = true // in haste nobody saw whether they stand; the next look will
	case changed:
		a.repairs++
		a.config.Logger.Info(msgRepaired, keyGeneration, a.order.Generation)
	}
	a.inKernel = serial
	a.saveOrder(serial)
}

func (a *Agent) saveOrder(serial string) {
	if a.saved == serial {
		return
	}
	a.saved = ""
	err := a.store.order(SavedOrder{At: a.clock.out(a.clock.now()), Order: *a.order, Former: a.former})
	if a.trouble(msgOrderUnsaved, err); err == nil {
		a.saved = serial
	}
}

// armed returns the serial of the order that is in the kernel and on disk, "" if
// there is none: an order that a boot would forget is not armed.
func (a *Agent) armed() string {
	if a.inKernel != a.saved {
		return ""
	}
	return a.inKernel
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
		state.Friends = a.friends.current(a.clock.now())
		for i := range state.Friends {
			state.Friends[i].Until = a.clock.out(state.Friends[i].Until)
		}
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
	order.Traps = order.Traps.Union(a.extra)
	slices.SortFunc(allow, netip.Prefix.Compare)
	order.Allow = slices.Compact(allow)
	if !slices.Equal(order.Allow, a.lifted) {
		a.lifted = order.Allow
		a.tellEnded(a.ledger.lift(order.Allow))
	}
	return kernel.State{Order: order, Bans: a.wantedBans()}
}

// class returns what trap a port is, and of which generation; see succeed. A hit
// may be older than the present order, or the trap may have been retired just now.
func (a *Agent) class(port portsnare.Port) (portsnare.Class, portsnare.Generation) {
	var present portsnare.Order
	if a.order != nil {
		present = *a.order
	}
	old, class := a.former.Traps.Class(port), present.Traps.Class(port)
	if old != "" && (a.former.Armed || class == "") {
		return old, a.former.Generation
	}
	return class, present.Generation
}

// policy returns the policy in force.
func (a *Agent) policy() portsnare.Policy {
	if a.order == nil {
		return portsnare.DefaultPolicy()
	}
	return a.order.Policy
}
