package rotator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/placement"
)

// world is everything outside a controller: a firewall, hosts and a disk. It
// outlives controllers, checks the invariants at every change, and can make the
// controller die at any of its calls.
type world struct {
	t     testing.TB
	rules []portsnare.Rule
	armed map[string]portsnare.Order // what each host has in its kernel
	disk  map[string][]byte
	saves uint64 // the revision of what was put last
	dead  map[string]bool // hosts that do not answer

	limits portsnare.Limits
	nextID int
	writes int
	calls  int
	dieAt  int  // the controller dies at this call; 0 for never
	late   bool // it dies after the call took effect, not before
	fail   func(call string) error

	damaged bool // others interfered: open and armed may differ for a while
}

// errDied is what a dying controller sees; nothing in it acts on it.
var errDied = errors.New("killed")

func newWorld(t testing.TB) *world {
	return &world{
		t: t,
		rules: []portsnare.Rule{
			{ID: "protected-4", Opening: portsnare.Opening{Range: port(22).Range(), Source: portsnare.AnySource()[0]}},
			{ID: "protected-6", Opening: portsnare.Opening{Range: port(22).Range(), Source: portsnare.AnySource()[1]}},
		},
		armed:  map[string]portsnare.Order{},
		disk:   map[string][]byte{},
		dead:   map[string]bool{},
		limits: portsnare.Limits{Rules: 60, PerFamily: true, InPlace: true},
	}
}

func port(n uint16) portsnare.Port { return portsnare.Port{Protocol: portsnare.TCP, Number: n} }

// call runs one call of the controller and kills it there if the time has come.
func (w *world) call(name string, do func() error) error {
	w.calls++
	dies := w.calls == w.dieAt
	if dies && !w.late {
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
	return err
}

// check demands what must hold at every instant.
func (w *world) check() {
	w.t.Helper()
	ours, foreign := portsnare.Ours(w.rules, "web")
	if len(foreign) < 2 || foreign[0].ID != "protected-4" || foreign[1].ID != "protected-6" {
		w.t.Fatalf("the protected rules changed: %v", foreign)
	}
	open := portsnare.OpenPorts(ours)
	for _, host := range testGroup().Hosts {
		if gap := open.Minus(w.armed[host].Traps.Ports()); !gap.Empty() && !w.dead[host] && !w.damaged {
			w.t.Fatalf("%s is open and not armed on %s", gap, host)
		}
	}
}

// Rules implements Firewall.
func (w *world) Rules(context.Context) (rules []portsnare.Rule, err error) {
	err = w.call("rules", func() error { rules = slices.Clone(w.rules); return nil })
	return rules, err
}

// Limits implements Firewall.
func (w *world) Limits(context.Context) (limits portsnare.Limits, err error) {
	err = w.call("limits", func() error { limits = w.limits; return nil })
	return limits, err
}

// Apply implements Firewall: rule by rule, so that dying in the middle leaves a
// half-done plan behind.
func (w *world) Apply(_ context.Context, plan portsnare.Plan) (done portsnare.Done, err error) {
	w.writes++
	done.Writes = 1
	swaps := min(len(plan.Open), len(plan.Close))
	for i := range max(len(plan.Open), len(plan.Close)) {
		err = w.call("apply", func() error {
			if i < swaps && len(w.rules) >= 2*w.limits.Rules || i < len(plan.Close) && i >= len(plan.Open) {
				w.remove(plan.Close[i])
			}
			if i < len(plan.Open) {
				w.add(plan.Open[i])
			}
			return nil
		})
		if err != nil {
			return done, err
		}
	}
	err = w.call("apply", func() error {
		for _, r := range plan.Close {
			w.remove(r)
		}
		return nil
	})
	return done, err
}

func (w *world) add(o portsnare.Opening) {
	w.nextID++
	w.rules = append(w.rules, portsnare.Rule{ID: "r" + strconv.Itoa(w.nextID), Opening: o, Mark: "web"})
}

func (w *world) remove(rule portsnare.Rule) {
	w.rules = slices.DeleteFunc(w.rules, func(r portsnare.Rule) bool { return r.ID == rule.ID })
}

// Send implements Fleet.
func (w *world) Send(_ context.Context, orders ...portsnare.Order) error {
	return w.call("send", func() error {
		for _, order := range orders {
			if err := order.Validate(); err != nil {
				return err
			}
			if !w.dead[order.Host] {
				w.armed[order.Host] = order
			}
		}
		return nil
	})
}

// Await implements Fleet.
func (w *world) Await(ctx context.Context, order portsnare.Order) error {
	host := order.Host
	if w.dead[host] {
		<-ctx.Done()
		return &portsnare.Error{Kind: portsnare.Transient, Op: "wait for", Subject: host, Err: ctx.Err()}
	}
	return w.call("await", func() error {
		if got, _ := w.Report(host); !got.Watches(order) {
			return fmt.Errorf("%s has %s, not %s", host, got.Armed, order.Serial)
		}
		return nil
	})
}

// Report implements Fleet.
func (w *world) Report(host string) (portsnare.Report, bool) {
	order, ok := w.armed[host]
	return portsnare.Report{Host: host, Armed: order.Serial, ArmedTraps: order.TrapsSerial, Generation: order.Generation}, ok && !w.dead[host]
}

// Get implements Store.
func (w *world) Get(_ context.Context, key string) (value []byte, revision uint64, err error) {
	err = w.call("get", func() error {
		var ok bool
		if value, ok = w.disk[key]; !ok {
			return &portsnare.Error{Kind: portsnare.NotFound, Op: "get", Subject: key}
		}
		return nil
	})
	return value, w.saves, err
}

// Put implements Store.
func (w *world) Put(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	err := w.call("put", func() error {
		if _, stands := w.disk[key]; stands != (revision > 0) || stands && revision != w.saves {
			return &portsnare.Error{Kind: portsnare.Conflict, Op: "put", Subject: key}
		}
		w.saves++
		w.disk[key] = slices.Clone(value)
		return nil
	})
	return w.saves, err
}

func testGroup() Group {
	protected := portsnare.PortSetOf(port(22))
	return Group{
		Name: "web", Hosts: []string{"web-1", "web-2"}, Protected: protected,
		Sources:  portsnare.AnySource(),
		Traps:    placement.Wish{Spec: placement.Spec{Neighbours: 8, Radius: 16, Bait: 10, Openings: 30, Ports: 400}},
		Policy:   portsnare.DefaultPolicy(),
		Schedule: Schedule{Min: 10 * time.Minute, Max: 20 * time.Minute},
		Grace:    10 * time.Second, ReportTimeout: 30 * time.Second, OnMissing: Hold,
		Repair: time.Minute, CloudFirewall: true,
	}
}

// controller returns a new controller in the world, as a restart does.
func (w *world) controller(group Group) *Rotator {
	return New(Config{
		Group: group, Firewall: w, Fleet: w, Store: w, Rand: rand.New(rand.NewPCG(uint64(w.calls), 7)),
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: NewMetrics(prometheus.NewRegistry()),
	})
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

// open returns the ports that the firewall admits because of us.
func (w *world) open() portsnare.PortSet {
	ours, _ := portsnare.Ours(w.rules, "web")
	return portsnare.OpenPorts(ours)
}
