package fleet

import "github.com/portsnare/portsnare"

// order composes everything that the host must program.
func (h host) order(name string) portsnare.Order {
	return sealed(portsnare.Order{
		Host:          name,
		Group:         h.rest.Group,
		Generation:    h.set.Generation,
		Traps:         h.set.Traps.Minus(h.rest.Protected),
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
