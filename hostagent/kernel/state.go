package kernel

import (
	"fmt"

	"github.com/portsnare/portsnare"
)

// State is everything that a backend programs: the order, and what lives beside
// it because it comes and goes by itself.
type State struct {
	portsnare.Order
	Bans    []portsnare.Ban    // in force; those that are over are ignored
	Friends []portsnare.Friend // likewise
}

// Validate returns an error of kind [portsnare.Invalid] if the order contradicts
// itself, or if a ban or a friend is none that a kernel program can hold in the
// form in which it came.
func (s State) Validate() error {
	if err := s.Order.Validate(); err != nil {
		return err
	}
	if err := CheckBans(s.Bans); err != nil {
		return err
	}
	for _, friend := range s.Friends {
		if err := CheckFriend(friend); err != nil {
			return err
		}
	}
	return nil
}

// CheckFriend returns an error of kind [portsnare.Invalid] unless the kernel can
// learn and hold such a friend.
func CheckFriend(f portsnare.Friend) error {
	if err := portsnare.CheckSource(f.Source); err != nil {
		return fmt.Errorf("friend: %w", err)
	}
	if f.Port.Protocol != portsnare.TCP {
		return &portsnare.Error{Kind: portsnare.Invalid, Err: fmt.Errorf(
			"friend %s of %s: want a TCP port, where a conversation cannot be forged", f.Source, f.Port)}
	}
	return nil
}
