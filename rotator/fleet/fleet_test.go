package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
)

// link is hosts that arm at once what they get.
type link struct {
	mu    sync.Mutex
	sends [][]string // hosts, by call
	armed map[string]portsnare.Order
	slow  chan struct{} // if it is made, Await waits for more than what is armed
	fail  error
}

func (l *link) Send(_ context.Context, orders ...portsnare.Order) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	var hosts []string
	for _, o := range orders {
		hosts = append(hosts, o.Host)
		l.armed[o.Host] = o
	}
	l.sends = append(l.sends, hosts)
	return nil
}

func (l *link) Await(ctx context.Context, o portsnare.Order) error {
	if l.slow != nil {
		select {
		case <-l.slow:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if r, _ := l.Report(o.Host); !r.Watches(o) {
		return errors.New("not armed")
	}
	return nil
}

func (l *link) Report(host string) (portsnare.Report, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o, ok := l.armed[host]
	return portsnare.Report{Host: host, Armed: o.Serial, ArmedTraps: o.TrapsSerial, Generation: o.Generation}, ok
}

// group is a fleet with one group, which is the only one that has a say in it.
type group struct {
	*Fleet
	*Part
}

func newFleet(t *testing.T) (group, *link) {
	t.Helper()
	l := &link{armed: map[string]portsnare.Order{}}
	f, hosts := New(l), []string{"web-1", "web-2"}
	if err := f.Set(t.Context(), hosts, rest()); err != nil {
		t.Fatal(err)
	}
	return group{f, f.Part("web", hosts...)}, l
}

func rest() Rest {
	return Rest{Group: "web", Protected: ports(22, 443), Public: ports(443), Policy: portsnare.DefaultPolicy(), CloudFirewall: true}
}

func ports(numbers ...uint16) portsnare.PortSet {
	var list []portsnare.Port
	for _, n := range numbers {
		list = append(list, portsnare.Port{Protocol: portsnare.TCP, Number: n})
	}
	return portsnare.PortSetOf(list...)
}

func set(generation portsnare.Generation, secret ...uint16) portsnare.TrapSet {
	return portsnare.TrapSet{Generation: generation, Traps: portsnare.Traps{Secret: ports(secret...)}}
}

// An order has the traps of one hand and the rest of another, whoever came last,
// and no protected port is a trap in it.
func TestOneOrderOfManyHands(t *testing.T) {
	f, l := newFleet(t)
	if len(l.sends) > 0 {
		t.Fatal("an order was sent before the traps were known")
	}
	if err := f.Arm(t.Context(), []string{"web-1", "web-2"}, set(7, 21, 22, 9000)); err != nil {
		t.Fatal(err)
	}
	alarmed := rest()
	alarmed.Alarm, alarmed.Allow = true, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	if err := f.Set(t.Context(), []string{"web-2"}, alarmed); err != nil {
		t.Fatal(err)
	}
	if want := [][]string{{"web-1", "web-2"}, {"web-2"}}; !cmp.Equal(l.sends, want) {
		t.Errorf("sent %q, want %q", l.sends, want)
	}
	got := l.armed["web-2"]
	want := portsnare.Order{
		Serial: got.Digest(), TrapsSerial: got.TrapsSerial, Host: "web-2", Group: "web", Generation: 7,
		Traps: set(7, 21, 9000).Traps, Protected: ports(22, 443), Public: ports(443), Policy: portsnare.DefaultPolicy(),
		CloudFirewall: true, Alarm: true, Allow: alarmed.Allow,
	}
	if d := cmp.Diff(want, got, cmp.Comparer(portsnare.PortSet.Equal), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if one := l.armed["web-1"]; one.Alarm || one.TrapsSerial == got.TrapsSerial || one.TrapsSerial == "" {
		t.Errorf("web-1 got %+v", one)
	}
}

// The allow list changes 100 times while a rotation arms: no wait is disturbed, no
// order loses its traps, and the last order has both.
func TestAllowChangesDuringARotation(t *testing.T) {
	f, l := newFleet(t)
	hosts := []string{"web-1", "web-2"}
	var both sync.WaitGroup
	both.Go(func() {
		for i := range 100 {
			r := rest()
			r.Allow = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32)}
			if err := f.Set(t.Context(), hosts, r); err != nil {
				t.Error(err)
			}
		}
	})
	for g := range portsnare.Generation(100) {
		traps := set(g+1, uint16(1000+g), uint16(2000+g))
		if err := f.Arm(t.Context(), hosts, traps); err != nil {
			t.Fatal(err)
		}
		for _, host := range hosts {
			if err := f.Await(t.Context(), host, traps); err != nil {
				t.Fatalf("generation %d: %s: %v", g+1, host, err)
			}
			if !f.Watches(host, traps) || f.Watches(host, set(g+1, 5)) {
				t.Errorf("generation %d: %s does not watch what it does", g+1, host)
			}
		}
	}
	both.Wait()
	for _, host := range hosts {
		o := l.armed[host]
		if o.Generation != 100 || o.Allow[0].String() != "192.0.2.99/32" || !f.Carries(host, set(100, 1099, 2099)) {
			t.Errorf("%s ends with generation %d and %v", host, o.Generation, o.Allow)
		}
	}
}

// A host that only the allow list has changed for still watches, and does not carry.
func TestWatchesAndCarries(t *testing.T) {
	f, l := newFleet(t)
	if err := f.Arm(t.Context(), []string{"web-1"}, set(1, 9)); err != nil {
		t.Fatal(err)
	}
	l.fail = portsnare.Transient
	changed := rest()
	changed.Alarm = true
	if err := f.Set(t.Context(), []string{"web-1"}, changed); !errors.Is(err, portsnare.Transient) {
		t.Fatalf("Set = %v", err)
	}
	if !f.Watches("web-1", set(1, 9)) || f.Carries("web-1", set(1, 9)) {
		t.Error("the report of the former order is judged wrongly")
	}
}

func TestRefuses(t *testing.T) {
	f, l := newFleet(t)
	if err := f.Arm(t.Context(), []string{"web-1", "db-1"}, set(1, 9)); !errors.Is(err, portsnare.NotFound) {
		t.Errorf("Arm of an unknown host = %v", err)
	}
	if err := f.Await(t.Context(), "db-1", set(1, 9)); !errors.Is(err, portsnare.NotFound) {
		t.Errorf("Await of an unknown host = %v", err)
	}
	wrong := portsnare.TrapSet{Traps: portsnare.Traps{Bait: ports(9), Secret: ports(9)}}
	if err := f.Arm(t.Context(), []string{"web-1"}, wrong); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("Arm with a set that contradicts itself = %v", err)
	}
	if len(l.sends) > 0 {
		t.Errorf("sent %q", l.sends)
	}
}

// All orders of a group leave in one batch, however many hosts it has.
func TestOneBatch(t *testing.T) {
	f, l := newFleet(t)
	var hosts []string
	for i := range 1000 {
		hosts = append(hosts, fmt.Sprintf("web-%d", i))
	}
	if err := f.Set(t.Context(), hosts, rest()); err != nil {
		t.Fatal(err)
	}
	if err := f.Fleet.Part("web", hosts...).Arm(t.Context(), hosts, set(1, 9)); err != nil {
		t.Fatal(err)
	}
	if len(l.sends) != 1 || !slices.Equal(l.sends[0], hosts) {
		t.Errorf("%d calls of Send", len(l.sends))
	}
}
