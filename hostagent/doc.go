// Package hostagent is the agent of one server. It takes orders from the
// controller, has them programmed into the kernel and keeps them there, and
// tells the controller what the kernel saw.
//
// It needs nobody to go on: the order and the bans are on disk, so a server
// that boots while the controller is away is armed as before. Killed at any
// instant it continues where it was; what the kernel did meanwhile is found
// there and adopted. It vouches for an order only when that is in the kernel and
// on disk. Its time runs evenly, whatever the wall clock does (docs/adr/0007).
//
// The package declares what it needs, a [Backend], a [Link] and [Sightings],
// and imports none of those who provide them.
package hostagent
