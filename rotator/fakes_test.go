package rotator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/fleet"
	"github.com/portsnare/portsnare/rotator/placement"
)

// callLife is how long a call to a cloud can be on its way.
const callLife = 20 * time.Second

// world is everything outside a controller: firewalls, hosts and a disk. It
// outlives controllers, checks the invariants at every change, and can make the
// controller die at any of its calls.
type world struct {
	*cloud // of the group
	t      testing.TB
	clouds map[string]*cloud
	hosts  map[string]*machine
	disk   map[string][]byte
	revs   map[string]uint64 // of what was put last, by key
	saves  uint64

	nextID int
	writes int
	calls  int
	dieAt  int // the controller dies at this call; 0 for never
	death  death
	land   int // with died.later: how many calls later the call lands, if callLife is not over before
	flying []func()
	lands  time.Time // when what is flying lands at the latest
	fail   func(call string) error
}

// death is when a controller dies in a call.
type death string

const (
	before death = "before" // it took effect
	after  death = "after"
	later  death = "later" // it takes effect when the next controller is at work
)

// cloud is one firewall.
type cloud struct {
	world  *world
	id     string
	rules  []portsnare.Rule
	limits portsnare.Limits
	quota  int // of which the limits say nothing; 0 for none
	mark   portsnare.Mark
}

// machine is one host with an agent.
type machine struct {
	sent    portsnare.Order // that stands for it
	armed   portsnare.Order // what its kernel has
	away    bool
	unknown bool      // to the link, which has lost its reports
	seenAt  time.Time // when it went away
	// excused are ports that others opened, or that it has lost by others' doing,
	// since it last armed an order. No controller can have armed them in time.
	excused portsnare.PortSet
	// unwatched: it is away and its group goes on without it.
	unwatched bool
	behind    map[string]portsnare.PortSet // firewalls, and which ports of them can reach it; nil for all
	left      string                       // this firewall, so that only what was open then can reach it
	says      func(*portsnare.Report)      // instead of the truth
}

// errDied is what a dying controller sees; nothing in it acts on it.
var errDied = errors.New("killed")

func newWorld(t testing.TB) *world {
	w := &world{
		t: t, clouds: map[string]*cloud{}, disk: map[string][]byte{}, revs: map[string]uint64{},
		hosts: map[string]*machine{"web-1": {}, "web-2": {}, "old-1": {}},
	}
	w.cloud = w.firewall("sg-1")
	w.limits = portsnare.Limits{Rules: 60, PerFamily: true, InPlace: true}
	return w
}

// firewall returns the firewall of that id, as the group finds it.
func (w *world) firewall(id string) *cloud {
	if w.clouds[id] == nil {
		c := &cloud{world: w, id: id, mark: testGroup().Mark(), limits: portsnare.Limits{Rules: 200, PerFamily: true}}
		for i, source := range portsnare.AnySource() {
			c.rules = append(c.rules, portsnare.Rule{ID: fmt.Sprint("protected-", i), Opening: portsnare.Opening{Range: port(22).Range(), Source: source}})
		}
		w.clouds[id] = c
	}
	return w.clouds[id]
}

// as returns the same firewall, under a group's mark.
func (c *cloud) as(mark portsnare.Mark) *view { return &view{c, mark} }

type view struct {
	*cloud
	mark portsnare.Mark
}

func (v *view) Apply(ctx context.Context, plan portsnare.Plan) (portsnare.Done, error) {
	return v.apply(plan, v.mark)
}

func port(n uint16) portsnare.Port { return portsnare.Port{Protocol: portsnare.TCP, Number: n} }

// call runs one call of the controller and kills it there if the time has come.
func (w *world) call(name string, do func() error) error {
	w.calls++
	if w.flying != nil && !time.Now().Before(w.lands) {
		w.landNow() // it has landed at that moment, and nobody has looked since
	}
	dies := w.calls == w.dieAt
	switch {
	case dies && w.death == before:
		panic(errDied)
	case dies && w.death == later:
		w.fly(do)
		panic(errDied)
	}
	if w.fail != nil {
		if err := w.fail(name); err != nil {
			return err
		}
	}
	err := do()
	w.check()
	if dies {
		panic(errDied)
	}
	if w.flying != nil && w.calls >= w.dieAt+w.land {
		w.landNow()
	}
	return err
}

// fly lets a call go on after its controller died.
func (w *world) fly(do func() error) {
	w.flying = append(w.flying, func() { do(); w.check() }) //nolint:errcheck // nobody hears it
	w.lands = time.Now().Add(callLife)
}

func (w *world) landNow() {
	flying := w.flying
	w.flying = nil
	for _, do := range flying {
		do()
	}
}

// check demands what must hold at every instant, whatever failed: a protected rule
// stands, and what is open under a mark of ours is armed on every host.
func (w *world) check() {
	w.t.Helper()
	for id, c := range w.clouds {
		ours, foreign := portsnare.Ours(c.rules, allMarks...)
		if len(foreign) < 2 || foreign[0].ID != "protected-0" || foreign[1].ID != "protected-1" {
			w.t.Fatalf("the protected rules of %s changed: %v", id, foreign)
		}
		w.checkHosts(id, portsnare.OpenPorts(ours))
	}
}

func (w *world) checkHosts(firewall string, open portsnare.PortSet) {
	w.t.Helper()
	for name, h := range w.hosts {
		if name == "old-1" && h.sent.Host == "" || h.unwatched {
			continue // nobody's host
		}
		open := open
		if h.behind != nil {
			open = open.Intersect(h.behind[firewall])
		}
		if h.left == firewall {
			h.behind[firewall] = open // what is opened again does not reach it
		}
		watched := h.armed.Traps.Ports().Union(h.armed.Protected).Union(h.excused)
		if gap := open.Minus(watched); !gap.Empty() {
			w.t.Fatalf("%s is open in %s and not armed on %s", gap, firewall, name)
		}
	}
}

// allMarks are ours, whichever group has them.
var allMarks = []portsnare.Mark{"tokyo/web", "tokyo/www", "tokyo/db", "web", "www"}

// Rules implements Firewall.
func (c *cloud) Rules(context.Context) (rules []portsnare.Rule, err error) {
	err = c.world.call("rules", func() error { rules = slices.Clone(c.rules); return nil })
	return rules, err
}

// Limits implements Firewall.
func (c *cloud) Limits(context.Context) (limits portsnare.Limits, err error) {
	err = c.world.call("limits", func() error { limits = c.limits; return nil })
	return limits, err
}

// CallTimeout is what a grace time has to be longer than.
func (c *cloud) CallTimeout() time.Duration { return callLife }

// Apply implements Firewall.
func (c *cloud) Apply(_ context.Context, plan portsnare.Plan) (portsnare.Done, error) {
	return c.apply(plan, c.mark)
}

// apply changes rule by rule, so that dying in the middle leaves a half-done plan
// behind.
func (c *cloud) apply(plan portsnare.Plan, mark portsnare.Mark) (done portsnare.Done, err error) {
	w := c.world
	w.writes++
	done.Writes = 1
	if err := plan.Check(append([]portsnare.Mark{mark}, allMarks...)...); err != nil {
		w.t.Fatal(err)
	}
	swaps := min(len(plan.Open), len(plan.Close))
	for i := range max(len(plan.Open), len(plan.Close)) {
		err = w.call("apply", func() error {
			if i < swaps && len(c.rules) >= 2*c.limits.Rules || i < len(plan.Close) && i >= len(plan.Open) {
				c.remove(plan.Close[i])
			}
			if i < len(plan.Open) {
				return c.create(plan.Open[i], mark)
			}
			return nil
		})
		if err != nil {
			return done, err
		}
	}
	err = w.call("apply", func() error {
		for _, r := range plan.Close {
			c.remove(r)
		}
		return nil
	})
	return done, err
}

func (c *cloud) create(o portsnare.Opening, mark portsnare.Mark) error {
	if c.quota > 0 && len(c.rules) >= c.quota {
		return &portsnare.Error{Kind: portsnare.LimitExceeded, Op: "open in", Subject: c.id, Err: errors.New("the quota is used up")}
	}
	c.add(o, mark)
	return nil
}

func (c *cloud) add(o portsnare.Opening, mark portsnare.Mark) {
	c.world.nextID++
	c.rules = append(c.rules, portsnare.Rule{ID: "r" + strconv.Itoa(c.world.nextID), Opening: o, Mark: mark})
}

// byHand is what somebody else does with our mark: no host can have armed it.
func (c *cloud) byHand(r portsnare.PortRange, mark portsnare.Mark) {
	for _, h := range c.world.hosts {
		h.excused = h.excused.Union(portsnare.NewPortSet(r))
	}
	c.add(portsnare.Opening{Range: r, Source: portsnare.AnySource()[0]}, mark)
}

func (c *cloud) remove(rule portsnare.Rule) {
	c.rules = slices.DeleteFunc(c.rules, func(r portsnare.Rule) bool { return r.ID == rule.ID })
}

// empty removes every rule of ours, as other people's tools do.
func (c *cloud) empty() {
	c.rules = slices.DeleteFunc(c.rules, func(r portsnare.Rule) bool { return r.Mark != "" })
}

// open returns the ports that the firewall admits because of us.
func (c *cloud) open() portsnare.PortSet {
	ours, _ := portsnare.Ours(c.rules, allMarks...)
	return portsnare.OpenPorts(ours)
}

// rebuild gives a host an empty kernel, by nobody's fault of ours.
func (w *world) rebuild(host string) {
	h := w.hosts[host]
	h.armed = portsnare.Order{}
	h.excused = portsnare.PortSet{}
	for _, c := range w.clouds {
		h.excused = h.excused.Union(c.open())
	}
}

// leave and come back.
func (w *world) leave(host string) { w.hosts[host].away, w.hosts[host].seenAt = true, time.Now() }

func (w *world) comeBack(host string) {
	h := w.hosts[host]
	h.away = false
	if h.sent.Host != "" {
		h.arm()
	}
}

func (m *machine) arm() { m.armed, m.excused = m.sent, portsnare.PortSet{} }

// Send implements fleet.Link.
func (w *world) Send(_ context.Context, orders ...portsnare.Order) error {
	return w.call("send", func() error {
		for _, order := range orders {
			if err := order.Validate(); err != nil {
				return err
			}
			h := w.hosts[order.Host]
			h.sent = order
			if !h.away {
				h.arm()
			}
		}
		return nil
	})
}

// Await implements fleet.Link.
func (w *world) Await(ctx context.Context, order portsnare.Order) error {
	host := order.Host
	if w.hosts[host].away || w.hosts[host].unknown {
		<-ctx.Done()
		return &portsnare.Error{Kind: portsnare.Transient, Op: "wait for", Subject: host, Err: ctx.Err(), Hint: "look on " + host}
	}
	return w.call("await", func() error {
		if got, _ := w.Report(host); !got.Watches(order) {
			return fmt.Errorf("%s has %s, not %s", host, got.Armed, order.Serial)
		}
		return nil
	})
}

// Report implements fleet.Link.
func (w *world) Report(host string) (portsnare.Report, bool) {
	h := w.hosts[host]
	at := time.Now()
	if h.away {
		at = h.seenAt
	}
	report := portsnare.Report{Host: host, At: at, Armed: h.armed.Serial, ArmedTraps: h.armed.TrapsSerial, Generation: h.armed.Generation}
	if h.says != nil {
		h.says(&report)
	}
	return report, !at.IsZero() && h.sent.Host != "" && !h.unknown
}

// Get implements Store.
func (w *world) Get(_ context.Context, key string) (value []byte, revision uint64, err error) {
	err = w.call("get", func() error {
		var ok bool
		if value, ok = w.disk[key]; !ok {
			return &portsnare.Error{Kind: portsnare.NotFound, Op: "get", Subject: key}
		}
		revision = w.revs[key]
		return nil
	})
	return slices.Clone(value), revision, err
}

// Put implements Store.
func (w *world) Put(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	err := w.call("put", func() error {
		if w.revs[key] != revision {
			return &portsnare.Error{Kind: portsnare.Conflict, Op: "put", Subject: key}
		}
		w.saves++
		w.disk[key], w.revs[key] = slices.Clone(value), w.saves
		return nil
	})
	return w.revs[key], err
}

// lose empties the disk; backup and restore take it back to what it was.
func (w *world) lose() { w.disk, w.revs = map[string][]byte{}, map[string]uint64{} }

func (w *world) backup() (restore func()) {
	disk, revs := maps.Clone(w.disk), maps.Clone(w.revs)
	return func() { w.disk, w.revs = maps.Clone(disk), maps.Clone(revs) }
}

func testGroup() Group {
	protected := portsnare.PortSetOf(port(22))
	return Group{
		Owner: "tokyo", Name: "web", Hosts: []string{"web-1", "web-2"}, Protected: protected,
		Sources:  portsnare.AnySource(),
		Traps:    placement.Wish{Spec: placement.Spec{Neighbours: 8, Radius: 16, Bait: 10, Openings: 30, Ports: 400}},
		Policy:   portsnare.DefaultPolicy(),
		Schedule: Schedule{Min: 10 * time.Minute, Max: 20 * time.Minute},
		Grace:    30 * time.Second, ReportTimeout: 30 * time.Second, OnMissing: Hold,
		Repair: time.Minute, CloudFirewall: true,
		Where: Where{Kind: "aws", Provider: "main", Region: "eu-central-1", Firewall: "sg-1"},
	}
}

// smallGroup needs few calls to rotate.
func smallGroup() Group {
	g := testGroup()
	g.Traps.Spec = placement.Spec{Neighbours: 4, Radius: 8, Bait: 2, Openings: 5, Ports: 40}
	return g
}

// places returns what is stored, which is no call of a controller.
func (w *world) places() []Place {
	var l list
	if text := w.disk[placesKey]; text != nil && unsealed(text) {
		if err := json.Unmarshal(text, &l); err != nil {
			w.t.Fatal(err)
		}
	}
	return l.Places
}

// installation returns the controllers of all groups of a configuration, as the
// command makes them, and of those that are no longer in it.
func (w *world) installation(groups ...Group) (rotators []*Rotator) {
	w.t.Helper()
	places, hosts := w.places(), fleet.New(w)
	make := func(group Group, former ...Place) {
		r, err := New(w.configOn(hosts, group, former...))
		if err != nil {
			w.t.Fatal(err)
		}
		rotators = append(rotators, r)
	}
	for _, g := range groups {
		make(g, FormerPlaces(places, groups, g)...)
	}
	for _, p := range RetiredPlaces(places, groups) {
		g := testGroup()
		g.Owner, g.Name, g.Hosts, g.Where, g.Retired, g.OnMissing = p.Mark.Owner(), p.Group, p.Hosts, p.Where, true, Proceed
		make(g)
	}
	return rotators
}

// controller returns a new controller in the world, as a restart does. It has
// left the places given.
func (w *world) controller(group Group, former ...Place) *Rotator {
	w.t.Helper()
	r, err := New(w.config(group, former...))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) config(group Group, former ...Place) Config {
	return w.configOn(fleet.New(w), group, former...)
}

// configOn is for a controller with several groups, which share a fleet.
func (w *world) configOn(hosts *fleet.Fleet, group Group, former ...Place) Config {
	leaving := Leaving(w.places(), group)
	rest := fleet.Rest{Group: group.Name, Protected: group.Protected, Public: group.Public, Policy: group.Policy, CloudFirewall: group.CloudFirewall}
	if err := hosts.Set(w.t.Context(), slices.Concat(group.Hosts, leaving), rest); err != nil {
		w.t.Fatal(err)
	}
	c := Config{
		Leaving: leaving,
		Group:   group, Firewall: w.firewall(group.Where.Firewall).as(group.Mark()), Fleet: hosts.Part(group.Part(), slices.Concat(group.Hosts, leaving)...), Store: w,
		Rand:   rand.New(rand.NewPCG(uint64(w.calls), 7)),
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: NewMetrics(prometheus.NewRegistry()),
	}
	for _, p := range former {
		c.Former = append(c.Former, Former{p, w.firewall(p.Firewall).as(p.Mark)})
	}
	return c
}

// attempt runs do and reports whether the controller died in it.
func attempt(do func() error) (died bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			if p != any(errDied) {
				panic(p)
			}
			died = true
		}
	}()
	return false, do()
}
