package rotator

import (
	"errors"

	"github.com/portsnare/portsnare"
)

// placed returns an error if the state is of the first version and the firewall
// holds nothing of it. The group may have got another firewall with the upgrade, and
// then its traps are open in one that nobody knows. The hosts keep them armed.
func (r *Rotator) placed(s *state, now standing) error {
	if !s.Unplaced || !r.group.CloudFirewall {
		return nil
	}
	if !s.traps().Ports().Empty() && len(now.ours) == 0 {
		return &portsnare.Error{
			Kind: portsnare.Invalid, Op: "find the traps of", Subject: "group " + r.group.Name,
			Err: errors.New("the first version has opened some, and none is in " + r.group.Where.Firewall),
			Hint: "if `firewall` was changed with the upgrade, put the former one back and start the controller once, so that it closes what has the mark " +
				string(r.group.FirstMark()) + "; if it was not, or nothing is left there, run `portsnare rotate " + r.group.Name + "`",
		}
	}
	s.Unplaced = false
	return nil
}
