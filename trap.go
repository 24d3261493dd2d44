package portsnare

import "strconv"

// Generation numbers the trap sets of one group. It only grows; 0 means that
// the group has never had one.
type Generation uint64

// String returns the number in decimal.
func (g Generation) String() string { return strconv.FormatUint(uint64(g), 10) }

// Class says why a port was chosen as a trap, and with it what a hit proves.
type Class string

// The classes of trap.
const (
	// Neighbour: a random port close to a protected one. A sweep meets it
	// before it arrives.
	Neighbour Class = "neighbour"
	// Bait: a port that scanners try first. Everybody knows those, so a hit
	// arms but never fires: anyone could forge it in anyone's name.
	Bait Class = "bait"
	// Secret: a random port anywhere. A hit can fire.
	Secret Class = "secret"
)

// UnmarshalText implements encoding.TextUnmarshaler. A word that names no class
// is an error of kind [Invalid]; the empty one stands for a hit on what is no
// trap any more.
func (c *Class) UnmarshalText(text []byte) error {
	switch class := Class(text); class {
	case Neighbour, Bait, Secret, "":
		*c = class
		return nil
	}
	return invalidf("class %q: want neighbour, bait or secret", Plain(string(text)))
}

// Fires reports whether the last strike of a ban may fall on a trap of class c.
func (c Class) Fires() bool { return c == Neighbour || c == Secret }

// Traps is a choice of trap ports by class. A port is in one class at most.
type Traps struct {
	Neighbours PortSet `json:"neighbours"`
	Bait       PortSet `json:"bait"`
	Secret     PortSet `json:"secret"`
}

// Ports returns the traps of all classes.
func (t Traps) Ports() PortSet { return t.Firing().Union(t.Bait) }

// Firing returns the traps on which the last strike of a ban may fall.
func (t Traps) Firing() PortSet { return t.Neighbours.Union(t.Secret) }

// Class returns the class of trap p, or "" where p is no trap.
func (t Traps) Class(p Port) Class {
	switch {
	case t.Bait.Has(p):
		return Bait
	case t.Neighbours.Has(p):
		return Neighbour
	case t.Secret.Has(p):
		return Secret
	}
	return ""
}

// Union returns the traps of both. A port that is bait in one of them is bait,
// so that nobody is banned by a rule that one half of a fleet does not know.
func (t Traps) Union(other Traps) Traps {
	bait := t.Bait.Union(other.Bait)
	neighbours := t.Neighbours.Union(other.Neighbours).Minus(bait)
	secret := t.Secret.Union(other.Secret).Minus(bait).Minus(neighbours)
	return Traps{Neighbours: neighbours, Bait: bait, Secret: secret}
}

// Minus returns t without the ports given.
func (t Traps) Minus(ports PortSet) Traps {
	return Traps{
		Neighbours: t.Neighbours.Minus(ports),
		Bait:       t.Bait.Minus(ports),
		Secret:     t.Secret.Minus(ports),
	}
}

// TrapSet is the traps of one group at one moment. It is a secret: whoever
// knows it can walk around it, or have others banned.
type TrapSet struct {
	Generation Generation `json:"generation"`
	Traps
}

// Openings returns the fewest openings that let the given sources reach every
// trap of the set, and no other port.
func (t TrapSet) Openings(sources ...Source) []Opening {
	return OpeningsOf(t.Ports().Ranges(), sources...)
}
