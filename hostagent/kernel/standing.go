package kernel

import "github.com/portsnare/portsnare"

// Standing is what stands in the kernel, as read from the kernel and from nothing
// else. The zero Standing is that of a kernel in which nothing of ours is armed.
type Standing struct {
	// Armed reports whether packets meet the kernel program: its hooks and all
	// of its chains stand. Without that nothing else has an effect.
	Armed bool
	// Traps are the TCP and UDP traps, baits included. They are a secret.
	Traps portsnare.PortSet
	// Bait are those of the traps that never fire, of TCP.
	Bait portsnare.PortSet
	// Hidden and Public are the protected TCP ports. Those of UDP are not known
	// to the kernel program.
	Hidden, Public portsnare.PortSet
	// Unreserved are TCP traps that the kernel may choose for connections of
	// this host.
	Unreserved portsnare.PortSet
}

// Firing returns the TCP traps that fire.
func (s Standing) Firing() portsnare.PortSet { return s.Traps.Of(portsnare.TCP).Minus(s.Bait) }

// Protected returns the protected TCP ports.
func (s Standing) Protected() portsnare.PortSet { return s.Hidden.Union(s.Public) }

// Carries reports whether the traps and protected ports of an order, and no
// others, are armed.
func (s Standing) Carries(o portsnare.Order) bool {
	return s.Armed && s.Traps.Equal(o.Traps.Ports()) &&
		s.Bait.Equal(o.Traps.Bait.Of(portsnare.TCP)) &&
		s.Hidden.Equal(o.Hidden().Of(portsnare.TCP)) &&
		s.Public.Equal(o.Public.Of(portsnare.TCP))
}
