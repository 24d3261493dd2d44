package rotator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/portsnare/portsnare"
)

// Rotator rotates the traps of one group. Its methods may be called from any
// goroutine.
type Rotator struct {
	group    Group
	former   []Former
	leaving  []string          // hosts that are no longer in the group and keep its traps for now
	left     portsnare.PortSet // what was open when they left and has not been closed since
	firewall Firewall
	fleet    Fleet
	store    Store
	key      string // of the group's state in the store
	rng      *rand.Rand
	log      *slog.Logger
	metrics  *Metrics

	turn    chan struct{} // holds a value while somebody changes firewall or state
	started bool          // somebody had the turn before

	mu   sync.Mutex // guards what follows
	seen outcome
}

// Config is what a Rotator is made of. Every field but Former and Leaving is needed.
type Config struct {
	Group    Group
	Former   []Former // where the group or its hosts may still have openings
	Leaving  []string // hosts that may still be behind the firewall and are no longer in the group
	Firewall Firewall
	Fleet    Fleet
	Store    Store
	Rand     *rand.Rand // placement.SecureRand outside tests
	Logger   *slog.Logger
	Metrics  *Metrics
}

// New returns a Rotator that has not yet read or changed anything. A schedule that
// cannot be and a grace time that a call to the firewall could outlive are errors
// of kind Invalid.
func New(c Config) (*Rotator, error) {
	if err := check(c); err != nil {
		return nil, err
	}
	r := &Rotator{
		group:    c.Group,
		former:   c.Former,
		firewall: c.Firewall,
		fleet:    c.Fleet,
		store:    c.Store,
		key:      stateKey(c.Group.Name),
		rng:      c.Rand,
		log:      c.Logger.With(keyGroup, c.Group.Name),
		metrics:  c.Metrics,
		turn:     make(chan struct{}, 1),
	}
	if c.Group.Retired {
		r.key = c.Group.Part()
	}
	r.setLeaving(c.Leaving)
	r.metrics.begin(c.Group.Name)
	return r, nil
}

func check(c Config) error {
	if err := c.Group.Schedule.check(); err != nil && !c.Group.Retired {
		return &portsnare.Error{Kind: portsnare.Invalid, Op: "schedule", Subject: "group " + c.Group.Name, Err: err,
			Hint: "correct the group's `rotate`"}
	}
	for _, f := range append([]Former{{Firewall: c.Firewall}}, c.Former...) {
		if t, ok := f.Firewall.(callTimer); ok && t.CallTimeout() > 0 && c.Group.Grace <= t.CallTimeout() {
			return &portsnare.Error{Kind: portsnare.Invalid, Op: "use", Subject: "group " + c.Group.Name,
				Err:  fmt.Errorf("a call to its firewall may live for %s, and the grace time of %s is not longer", t.CallTimeout(), c.Group.Grace),
				Hint: fmt.Sprintf("set the group's `grace` to more than %s", t.CallTimeout())}
		}
	}
	return nil
}

// Check reads the firewall once and changes nothing, so that a wrong
// credential, region or name is known before any host is armed.
func (r *Rotator) Check(ctx context.Context) error {
	if _, err := r.standing(ctx); err != nil {
		return err
	}
	_, err := r.limits(ctx)
	return err
}

// Load reads what is stored of the group, so that Status and the metrics tell it
// before the first rotation or repair. It changes nothing.
func (r *Rotator) Load(ctx context.Context) error {
	return r.exclusively(ctx, func(*state) error { return nil })
}

// Rotate carries a rotation that was cut short to its end, or else draws a new
// trap set and moves the group to it. When it returns an error the rotation
// stays pending and the next call resumes it, or draws anew where it can no longer
// be carried out. It takes the configured firewall for the one that the first version
// used, if that is in doubt.
func (r *Rotator) Rotate(ctx context.Context) error {
	return r.attempt(ctx, func(ctx context.Context, s *state, now standing, limits portsnare.Limits) error {
		s.Unplaced = false
		return r.rotate(ctx, s, now, limits)
	})
}

// Repair compares the firewall with what it should hold and mends what others
// changed: an opening of ours that vanished is put back, one that no generation
// owns is removed, and where a foreign rule opens one of our traps, a trap has
// become protected, or there is no room to put it back, the group moves to a new
// trap set. Whatever is opened is armed on the hosts before. A host that does not
// carry its order gets it again. A pending rotation is resumed instead.
func (r *Rotator) Repair(ctx context.Context) error { return r.attempt(ctx, r.repair) }

// task is a piece of work on the group's state, begun with what the firewalls hold
// and can hold.
type task func(ctx context.Context, s *state, now standing, limits portsnare.Limits) error

// attempt does a task while nothing else changes firewall or state, and remembers
// how it ended.
func (r *Rotator) attempt(ctx context.Context, do task) error {
	return r.exclusively(ctx, func(s *state) error {
		err := r.begin(ctx, s, do)
		if ctx.Err() != nil {
			return err // called off, and no failure
		}
		r.remark(ctx, s, err)
		return err
	})
}

// begin reads everything, arms what is open whatever was planned, and then does
// the task.
func (r *Rotator) begin(ctx context.Context, s *state, do task) error {
	now, err := r.standing(ctx)
	if err != nil {
		return err
	}
	limits, err := r.limits(ctx)
	if err != nil {
		return err
	}
	if err := r.remember(ctx, s, now); err != nil {
		return err
	}
	r.sight(Strays(now.rules, r.marks()...))
	if err := r.cover(ctx, s, now); err != nil {
		return err
	}
	err = do(ctx, s, now, limits)
	r.started = true
	return err
}

// rotate does what is left of a pending rotation, if it can still be carried out,
// and else one that is drawn now.
func (r *Rotator) rotate(ctx context.Context, s *state, now standing, limits portsnare.Limits) error {
	if s.Pending == nil {
		return r.renew(ctx, s, now, limits)
	}
	if reason := r.judge(s, now, limits); reason != "" {
		r.log.Warn(msgGivenUp, keyReason, reason)
		return r.renew(ctx, s, now, limits)
	}
	if newest := r.newest(s); newest > s.Pending.To.Generation && !s.Pending.repairs(s) {
		s.Pending.To.Generation = newest + 1 // a host has reported meanwhile that knew more than the store
	}
	if s.Pending.At == "" || !r.passable(s, now, limits) {
		r.plan(s, now, limits)
	}
	return r.carryOut(ctx, s)
}

// renew draws a trap set and moves the group to it.
func (r *Rotator) renew(ctx context.Context, s *state, now standing, limits portsnare.Limits) error {
	if err := r.introduced(ctx, s, now); err != nil {
		return err
	}
	if err := r.draw(s, now, limits); err != nil {
		return err
	}
	return r.carryOut(ctx, s)
}

// passable reports whether there is room for each step that is pending.
func (r *Rotator) passable(s *state, now standing, limits portsnare.Limits) bool {
	budget := r.budget(s, now, limits)
	for _, step := range s.Pending.Steps() {
		if len(step.Ranges) > budget {
			return false
		}
	}
	return true
}

// exclusively runs do on the group's state while nothing else does.
func (r *Rotator) exclusively(ctx context.Context, do func(*state) error) error {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.turn }()
	s, err := loadState(ctx, r.store, r.key)
	if err != nil {
		if ctx.Err() == nil {
			r.fail(failureOf(err, time.Now()))
		}
		return err
	}
	if s.rebuilt {
		r.log.Warn(msgRebuilt)
	}
	if s.revision == 0 {
		s.Inherited = r.inherited(ctx)
	}
	r.show(s)
	return do(&s)
}

// remark remembers how an attempt ended, over a restart too. A store that fails
// cannot; what is shown comes from memory then.
func (r *Rotator) remark(ctx context.Context, s *state, err error) {
	before := s.Failure
	switch {
	case err == nil && before == nil:
		return
	case err == nil:
		s.Failure = nil
	default:
		s.Failure = failureOf(err, time.Now())
		if before != nil {
			s.Failure.At = before.At
		}
		r.fail(s.Failure)
	}
	if errors.Is(err, portsnare.Conflict) {
		return // the state is another's by now
	}
	if saveErr := r.save(ctx, s); saveErr != nil {
		r.log.Warn(msgUnsaved, keyError, saveErr)
	}
}

func failureOf(err error, now time.Time) *failure {
	return &failure{Text: portsnare.Plain(err.Error()), Hint: portsnare.Plain(portsnare.HintOf(err)), At: now.UTC()}
}
