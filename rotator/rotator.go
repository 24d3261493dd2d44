package rotator

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/placement"
)

// Rotator rotates the traps of one group. Its methods may be called from any
// goroutine; Run is the only one that starts any.
type Rotator struct {
	group    Group
	firewall Firewall
	fleet    Fleet
	store    Store
	rng      *rand.Rand
	log      *slog.Logger
	metrics  *Metrics

	turn chan struct{} // holds a value while somebody changes firewall or state

	mu   sync.Mutex // guards what follows
	seen outcome
}

// Config is what a Rotator is made of. Every field is needed.
type Config struct {
	Group    Group
	Firewall Firewall
	Fleet    Fleet
	Store    Store
	Rand     *rand.Rand // placement.SecureRand outside tests
	Logger   *slog.Logger
	Metrics  *Metrics
}

// New returns a Rotator that has not yet read or changed anything.
func New(c Config) *Rotator {
	return &Rotator{
		group:    c.Group,
		firewall: c.Firewall,
		fleet:    c.Fleet,
		store:    c.Store,
		rng:      c.Rand,
		log:      c.Logger.With(keyGroup, c.Group.Name),
		metrics:  c.Metrics,
		turn:     make(chan struct{}, 1),
	}
}

// Check reads the firewall once and changes nothing, so that a wrong
// credential, region or name is known before any host is armed.
func (r *Rotator) Check(ctx context.Context) error {
	_, _, err := r.read(ctx)
	return err
}

// Rotate carries a rotation that was cut short to its end, or else draws a new
// trap set and moves the group to it. When it returns an error the rotation
// stays pending and the next call resumes it.
func (r *Rotator) Rotate(ctx context.Context) error {
	return r.exclusively(ctx, func(s *state) error {
		if s.Pending == nil {
			if err := r.begin(ctx, s); err != nil {
				return err
			}
		}
		return r.carryOut(ctx, s)
	})
}

// exclusively runs do on the group's state while nothing else does.
func (r *Rotator) exclusively(ctx context.Context, do func(*state) error) error {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.turn }()
	s, err := loadState(ctx, r.store, r.group.Name)
	if err != nil {
		return err
	}
	err = do(&s)
	r.note(s, err)
	return err
}

// begin draws the next trap set and makes it the pending one.
func (r *Rotator) begin(ctx context.Context, s *state) error {
	rules, limits, err := r.read(ctx)
	if err != nil {
		return err
	}
	s.retire(r.group.Protected, time.Now())
	terrain := r.terrain(s, rules, limits)
	spec, err := r.group.Traps.On(terrain, r.group.Policy.Strikes)
	if err != nil {
		return err
	}
	traps, err := placement.Draw(r.rng, spec, terrain)
	if err != nil {
		return err
	}
	to := portsnare.TrapSet{Generation: s.Current.Generation + 1, Traps: traps}
	s.Pending = &rotation{To: to, Way: portsnare.ChooseWay(s.Current, to, terrain.Budget, limits)}
	return nil
}

// terrain returns what the next draw has to respect.
func (r *Rotator) terrain(s *state, rules []portsnare.Rule, limits portsnare.Limits) placement.Terrain {
	_, foreign := portsnare.Ours(rules, r.group.Mark())
	return placement.Terrain{
		Hidden:   r.group.Protected.Minus(r.group.Public),
		Avoid:    r.avoid(s, foreign),
		Budget:   limits.Budget(foreign, r.group.Sources...),
		Previous: s.Current.Traps,
		Overlap:  !limits.InPlace,
	}
}

// avoid returns every port that must not become a trap.
func (r *Rotator) avoid(s *state, foreign []portsnare.Rule) portsnare.PortSet {
	ports := r.group.Protected.
		Union(r.group.Avoid).
		Union(s.retiredPorts()).
		Union(portsnare.OpenPorts(foreign))
	for _, host := range r.group.Hosts {
		if report, ok := r.fleet.Report(host); ok {
			ports = ports.Union(report.Listening)
		}
	}
	return ports
}

// read returns what stands in the firewall and how much it can hold.
func (r *Rotator) read(ctx context.Context) ([]portsnare.Rule, portsnare.Limits, error) {
	rules, err := r.rules(ctx)
	if err != nil {
		return nil, portsnare.Limits{}, err
	}
	limits, err := retry(ctx, func() (portsnare.Limits, error) { return r.firewall.Limits(ctx) })
	return rules, limits, err
}
