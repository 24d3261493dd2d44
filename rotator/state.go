package rotator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
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
	RotatedAt time.Time         `json:"rotated_at"`        // when Current was complete
	NextAt    time.Time         `json:"next_at,omitzero"`  // when the next rotation is due
	Protected portsnare.PortSet `json:"protected"`         // as of the last draw
	Retired   []retired         `json:"retired,omitempty"` // ports
	Failure   *failure          `json:"failure,omitempty"` // of the last rotation or repair
	Room      *room             `json:"room,omitempty"`    // what a refusal has taught
	// Inherited are traps that another group, whose former place is this group's to
	// close, may still have open. They end with the first complete rotation.
	Inherited portsnare.Traps `json:"inherited,omitzero"`

	// Unplaced: the first version wrote this, which did not note the firewall.
	Unplaced bool `json:"unplaced,omitempty"`

	revision uint64 // of the store, when this was loaded or saved last
	rebuilt  bool   // what was stored was damaged
}

// rotation is a rotation on its way from state.Current, or a repair on its way
// back to it.
type rotation struct {
	portsnare.Move
	// At is the ID of the step to be done next. Where it is empty the way is yet to
	// be planned: so it is in what the first version stored, whose "step" was a
	// number and is ignored.
	At      string `json:"at,omitempty"`
	Drawn   string `json:"drawn,omitempty"`   // names the settings by which To was drawn
	Refused bool   `json:"refused,omitempty"` // the cloud has no room for it
}

// repairs reports whether the rotation leads back to the present trap set.
func (p *rotation) repairs(s *state) bool { return p.To.Generation == s.Current.Generation }

// failure is why a rotation or repair failed.
type failure struct {
	Text string    `json:"text"`
	Hint string    `json:"hint,omitempty"`
	At   time.Time `json:"at"` // when the first of an unbroken row of them happened
}

// room is how many port ranges of ours stood when the cloud refused another one
// that its limits, as far as they are known, allow.
type room struct {
	Ranges int       `json:"ranges"`
	At     time.Time `json:"at"`
}

// retired are ports that were protected until a moment ago.
type retired struct {
	Ports portsnare.PortSet `json:"ports"`
	At    time.Time         `json:"at"`
}

// retire notes which ports have ceased to be protected, and forgets those whose
// amnesty is over. A clock that jumps back makes no amnesty longer.
func (s *state) retire(protected portsnare.PortSet, now time.Time) {
	if gone := s.Protected.Minus(protected); !gone.Empty() {
		s.Retired = append(s.Retired, retired{Ports: gone, At: now})
	}
	s.Protected = protected
	s.Retired = slices.DeleteFunc(s.Retired, func(r retired) bool { return now.Sub(r.At) >= amnesty })
	for i := range s.Retired {
		if s.Retired[i].At.After(now) {
			s.Retired[i].At = now
		}
	}
}

// retiredPorts returns the ports still under amnesty.
func (s *state) retiredPorts() portsnare.PortSet {
	var ports portsnare.PortSet
	for _, r := range s.Retired {
		ports = ports.Union(r.Ports)
	}
	return ports
}

// generation returns that of the newest trap set.
func (s *state) generation() portsnare.Generation {
	if s.Pending != nil {
		return max(s.Pending.To.Generation, s.Current.Generation)
	}
	return s.Current.Generation
}

// traps returns every trap that the state knows to be open, or to become so.
func (s *state) traps() portsnare.Traps {
	traps := s.Current.Traps.Union(s.Inherited)
	if s.Pending != nil {
		traps = traps.Union(s.Pending.Traps())
	}
	return traps
}

// sealed appends a checksum to the JSON of a state, and unsealed reports whether
// it is right. A digit that has changed on the disk would otherwise be taken for
// another port. The first version knew no checksum.
func sealed(text []byte) []byte {
	return fmt.Appendf(text[:len(text)-1:len(text)-1], `,"sum":"%s"}`, checksum(text))
}

// sumKey is where the checksum begins.
const sumKey = `,"sum":"`

func unsealed(text []byte) bool {
	i := bytes.LastIndex(text, []byte(sumKey))
	return i < 0 || bytes.Equal(text, sealed(append(text[:i:i], '}')))
}

func checksum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func stateKey(group string) string { return "group." + group }

// loadState returns what is stored under key. What is damaged counts as lost: the
// firewall and the hosts know all that is needed to go on.
func loadState(ctx context.Context, store Store, key string) (state, error) {
	text, revision, err := store.Get(ctx, key)
	if errors.Is(err, portsnare.NotFound) {
		return state{}, nil
	}
	if err != nil {
		return state{}, &portsnare.Error{Kind: portsnare.KindOf(err), Op: "load state", Subject: key, Err: err}
	}
	s := state{revision: revision}
	if err := json.Unmarshal(text, &s); err != nil || !unsealed(text) {
		return state{revision: revision, rebuilt: true}, nil
	}
	if bytes.LastIndex(text, []byte(sumKey)) < 0 {
		s.Unplaced = true
	}
	return s, nil
}

// saveState replaces the state that was loaded or saved last. If somebody else has
// replaced it meanwhile, the error is of kind Conflict.
func saveState(ctx context.Context, store Store, key string, s *state) error {
	text, err := json.Marshal(s)
	if err == nil {
		var revision uint64
		if revision, err = store.Put(ctx, key, sealed(text), s.revision); err == nil {
			s.revision = revision
			return nil
		}
	}
	return stateError("save state", key, err)
}

// fence returns an error of kind Conflict if somebody else has replaced the state
// since it was loaded or saved. Who acts on a state that is no longer the newest
// would undo what another does.
func fence(ctx context.Context, store Store, key string, s *state) error {
	_, revision, err := store.Get(ctx, key)
	if errors.Is(err, portsnare.NotFound) {
		revision, err = 0, nil
	}
	if err == nil && revision != s.revision {
		err = &portsnare.Error{Kind: portsnare.Conflict, Err: errors.New("somebody else has changed it")}
	}
	if err != nil {
		return stateError("read state", key, err)
	}
	return nil
}

func stateError(op, key string, err error) error {
	e := &portsnare.Error{Kind: portsnare.KindOf(err), Op: op, Subject: key, Err: err}
	if errors.Is(err, portsnare.Conflict) {
		e.Hint = "another controller uses the same store: stop one of them"
	}
	return e
}
