package rotator

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/portsnare/portsnare"
)

// amnesty is how long a port that was protected is not used as a trap: its
// late users are innocent.
const amnesty = 24 * time.Hour

// state is what a controller has to remember of a group. It is saved before
// every step, so it always names the step that may have been begun.
type state struct {
	Current   portsnare.TrapSet `json:"current"`
	Pending   *rotation         `json:"pending,omitempty"`
	RotatedAt time.Time         `json:"rotated_at"` // when Current was complete
	Protected portsnare.PortSet `json:"protected"`  // as of the last draw
	Retired   []retired         `json:"retired,omitempty"`

	revision uint64 // of the store, when this was loaded or saved last
}

// rotation is a rotation on its way from state.Current.
type rotation struct {
	To   portsnare.TrapSet `json:"to"`
	Way  portsnare.Way     `json:"way"`
	Step int               `json:"step"` // index into Steps: the one to be done next
}

// retired are ports that were protected until a moment ago.
type retired struct {
	Ports portsnare.PortSet `json:"ports"`
	At    time.Time         `json:"at"`
}

// retire notes which ports have ceased to be protected, and forgets those whose
// amnesty is over.
func (s *state) retire(protected portsnare.PortSet, now time.Time) {
	if gone := s.Protected.Minus(protected); !gone.Empty() {
		s.Retired = append(s.Retired, retired{Ports: gone, At: now})
	}
	s.Protected = protected
	s.Retired = slices.DeleteFunc(s.Retired, func(r retired) bool { return now.Sub(r.At) >= amnesty })
}

// retiredPorts returns the ports still under amnesty.
func (s *state) retiredPorts() portsnare.PortSet {
	var ports portsnare.PortSet
	for _, r := range s.Retired {
		ports = ports.Union(r.Ports)
	}
	return ports
}

func stateKey(group string) string { return "group." + group }

func loadState(ctx context.Context, store Store, group string) (state, error) {
	var s state
	text, revision, err := store.Get(ctx, stateKey(group))
	if errors.Is(err, portsnare.NotFound) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return s, &portsnare.Error{Kind: portsnare.KindOf(err), Op: "load state of group", Subject: group, Err: err}
	}
	s.revision = revision
	return s, nil
}

// saveState replaces the state that was loaded or saved last. If somebody else has
// replaced it meanwhile, the error is of kind Conflict.
func saveState(ctx context.Context, store Store, group string, s *state) error {
	text, err := json.Marshal(s)
	if err == nil {
		var revision uint64
		if revision, err = store.Put(ctx, stateKey(group), text, s.revision); err == nil {
			s.revision = revision
		}
	}
	if err != nil {
		return &portsnare.Error{Kind: portsnare.KindOf(err), Op: "save state of group", Subject: group, Err: err}
	}
	return nil
}
