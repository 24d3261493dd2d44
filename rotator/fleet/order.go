package fleet

import (
	"maps"
	"slices"

	"github.com/portsnare/portsnare"
)

func (h host) has(part string) bool {
	_, has := h.parts[part]
	return has
}

// put replaces the traps of a part, and drop removes a part. Whoever waits for the
// host's order learns of it if another order follows from it.
func (h *host) put(part string, set *portsnare.TrapSet) {
	before := h.parts[part]
	h.parts[part] = set
	if before == nil || before.Generation != set.Generation || !same(before.Traps, set.Traps) {
		h.change()
	}
}

func (h *host) drop(part string) {
	delete(h.parts, part)
	h.change()
}

func (h *host) change() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func same(a, b portsnare.Traps) bool {
	return a.Neighbours.Equal(b.Neighbours) && a.Bait.Equal(b.Bait) && a.Secret.Equal(b.Secret)
}

// silent returns the parts that are not known yet, sorted.
func (h host) silent() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(h.parts)), func(part string) bool { return h.parts[part] != nil })
}

// says reports whether there is anything to order: a host whose groups have never
// drawn traps gets no order.
func (h host) says() bool {
	set := h.set()
	return set.Generation > 0 || !set.Ports().Empty()
}

// set returns the traps of all parts, with the generation of the host's own group,
// or else with the largest.
func (h host) set() (all portsnare.TrapSet) {
	for _, set := range h.parts {
		switch {
		case set == nil:
		case len(h.parts) == 1:
			return *set // with whatever contradicts itself in it, which is then refused
		default:
			all.Traps = all.Traps.Union(set.Traps)
			all.Generation = max(all.Generation, set.Generation)
		}
	}
	if own := h.parts[h.rest.Group]; own != nil {
		all.Generation = own.Generation
	}
	return all
}

// order composes everything that the host must program.
func (h host) order(name string) portsnare.Order {
	set := h.set()
	return sealed(portsnare.Order{
		Host:          name,
		Group:         h.rest.Group,
		Generation:    set.Generation,
		Traps:         set.Traps.Minus(h.rest.Protected),
		Protected:     h.rest.Protected,
		Public:        h.rest.Public,
		Policy:        h.rest.Policy,
		CloudFirewall: h.rest.CloudFirewall,
		Alarm:         h.rest.Alarm,
		Allow:         h.rest.Allow,
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
