package kernel

import (
	"fmt"
	"slices"

	"github.com/portsnare/portsnare"
)

// Problems are what a backend could not do although what matters stands. They
// last until the next change that finds them gone.
type Problems struct {
	NoRoom     error // bans that found no room
	Unreserved error // trap ports that the kernel may choose for connections of this host
}

// All returns the problems that there are.
func (p Problems) All() []error {
	return slices.DeleteFunc([]error{p.NoRoom, p.Unreserved}, func(err error) bool { return err == nil })
}

// Unreserved returns the problem that trap ports could not be reserved for a
// reason, nil without one.
func Unreserved(reason error) error {
	if reason == nil {
		return nil
	}
	return &portsnare.Error{
		Kind: portsnare.KindOf(reason), Op: "reserve", Subject: "trap ports",
		Err: fmt.Errorf("the traps are armed, but the kernel may choose them for connections of this host: %w", reason),
	}
}

// Unremoved returns the error of a removal that has disarmed the traps and could not
// end for a reason.
func Unremoved(reason error) error {
	return &portsnare.Error{
		Kind: portsnare.KindOf(reason), Op: "flush",
		Err: fmt.Errorf("the traps are disarmed, but not everything is removed: %w", reason),
	}
}
