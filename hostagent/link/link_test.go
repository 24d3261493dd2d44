package link_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/link"
	"github.com/portsnare/portsnare/rotator/hub"
)

// patience bounds every wait of these tests. It is long: only a failure meets it.
const patience = 30 * time.Second

func openHub(t *testing.T, opts hub.Options) *hub.Hub {
	t.Helper()
	opts.Logger = slog.New(slog.DiscardHandler)
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:0"
	}
	h, err := hub.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func enroll(t *testing.T, h *hub.Hub, host string) portsnare.Token {
	t.Helper()
	token, err := h.Enroll(t.Context(), host, false)
	if err != nil {
		t.Fatal(err)
	}
	return join(t, token)
}

// join exchanges a token for a credential.
func join(t *testing.T, token portsnare.Token) portsnare.Token {
	t.Helper()
	credential, err := link.NewCredential(token)
	if err != nil {
		t.Fatal(err)
	}
	if err := link.Join(t.Context(), token, credential); err != nil {
		t.Fatal(err)
	}
	return credential
}

// running is a link whose Run is under way.
type running struct {
	*link.Link
	orders chan portsnare.Order
	log    *logBook
	stop   func()
}

func run(t *testing.T, token portsnare.Token) *running {
	t.Helper()
	token, err := portsnare.ParseToken(token.String()) // as it travels
	if err != nil {
		t.Fatal(err)
	}
	r := newLink(t, token)
	r.start(t)
	return r
}

func (r *running) next(t *testing.T) portsnare.Order {
	t.Helper()
	select {
	case order := <-r.orders:
		return order
	case <-time.After(patience):
		t.Fatalf("no order came; log:\n%s", r.log)
		panic("unreachable")
	}
}

// logBook is a log that can be waited for.
type logBook struct {
	mu    sync.Mutex
	lines []string
	grown chan struct{}
}

func newLogBook() *logBook { return &logBook{grown: make(chan struct{})} }

func (b *logBook) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, string(line))
	close(b.grown)
	b.grown = make(chan struct{})
	return len(line), nil
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.lines, "")
}

func (b *logBook) await(t *testing.T, text string) {
	t.Helper()
	end := time.After(patience)
	for {
		b.mu.Lock()
		found := slices.ContainsFunc(b.lines, func(line string) bool { return strings.Contains(line, text) })
		grown := b.grown
		b.mu.Unlock()
		if found {
			return
		}
		select {
		case <-grown:
		case <-end:
			t.Fatalf("the log does not say %q:\n%s", text, b)
		}
	}
}

func await(t *testing.T, h *hub.Hub, order portsnare.Order) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := h.Await(ctx, order); err != nil {
		t.Fatal(err)
	}
}

func send(t *testing.T, h *hub.Hub, order portsnare.Order) {
	t.Helper()
	if err := h.Send(t.Context(), order); err != nil {
		t.Fatal(err)
	}
}

func newOrder(host string, generation portsnare.Generation) portsnare.Order {
	secret, err := portsnare.ParsePortSet("4000-4007/tcp,9100/tcp")
	if err != nil {
		panic(err)
	}
	return portsnare.Order{
		Serial: fmt.Sprintf("%s-%d", host, generation), TrapsSerial: fmt.Sprintf("traps-%d", generation),
		Host: host, Group: "web", Generation: generation,
		Traps:  portsnare.Traps{Secret: secret},
		Policy: portsnare.DefaultPolicy(),
		Allow:  []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	}
}

func reportOf(order portsnare.Order) portsnare.Report {
	return portsnare.Report{Host: order.Host, Version: "test", Backend: "ipset", Armed: order.Serial, ArmedTraps: order.TrapsSerial, Generation: order.Generation}
}

func TestOrdersAndReports(t *testing.T) {
	h := openHub(t, hub.Options{Dir: t.TempDir()})
	token := enroll(t, h, "web-1")
	first, second := newOrder("web-1", 1), newOrder("web-1", 2)
	send(t, h, first) // the host is not there yet

	l := run(t, token)
	if diff := cmp.Diff(first.Digest(), l.next(t).Digest()); diff != "" {
		t.Errorf("stored order (-want +got):\n%s", diff)
	}
	l.Report(reportOf(first))
	await(t, h, first)

	send(t, h, second)
	if diff := cmp.Diff(second.Digest(), l.next(t).Digest()); diff != "" {
		t.Errorf("pushed order (-want +got):\n%s", diff)
	}
	l.Report(reportOf(second))
	await(t, h, second)

	send(t, h, second) // once more, as after a restart of the controller
	if got := l.next(t).Generation; got != 2 {
		t.Errorf("repeated order is of generation %s; want 2", got)
	}
	if got, want := l.Controller(), []netip.Addr{netip.MustParseAddr("127.0.0.1")}; !slices.Equal(got, want) {
		t.Errorf("addresses of the controller: %v; want %v", got, want)
	}
}

func TestControllerRestart(t *testing.T) {
	dir := t.TempDir()
	h := openHub(t, hub.Options{Dir: dir})
	l := run(t, enroll(t, h, "web-1"))
	order := newOrder("web-1", 1)
	send(t, h, order)
	l.next(t)
	l.Report(reportOf(order))
	await(t, h, order)
	at := h.Addr()
	h.Close()

	l.log.await(t, "cannot reach the controller")
	h = openHub(t, hub.Options{Dir: dir, Listen: at})
	await(t, h, order) // reported anew, unasked
	second := newOrder("web-1", 2)
	send(t, h, second)
	if got := l.next(t).Generation; got != 2 {
		t.Errorf("first order after the restart is of generation %s; want 2: the one it had is not handed over again", got)
	}
}

func TestExpel(t *testing.T) {
	h := openHub(t, hub.Options{Dir: t.TempDir()})
	l := run(t, enroll(t, h, "web-1"))
	other := run(t, enroll(t, h, "web-2"))
	l.log.await(t, "connected")
	other.log.await(t, "connected")
	if err := h.Expel(t.Context(), "web-1"); err != nil {
		t.Fatal(err)
	}
	l.log.await(t, "the controller refuses this host")
	if got := h.Hosts(); !slices.Equal(got, []string{"web-2"}) {
		t.Errorf("hosts: %v; want web-2 alone", got)
	}
	order := newOrder("web-2", 1)
	send(t, h, order)
	other.next(t)
	if log := other.log.String(); strings.Contains(log, "cannot reach") {
		t.Errorf("the other host was cut off too:\n%s", log)
	}
}

func TestEnrollAgain(t *testing.T) {
	h := openHub(t, hub.Options{Dir: t.TempDir()})
	old := run(t, enroll(t, h, "web-1"))
	old.log.await(t, "connected")
	if _, err := h.Enroll(t.Context(), "web-1", false); portsnare.KindOf(err) != portsnare.Conflict {
		t.Errorf("enrolling twice: %v; want kind %q", err, portsnare.Conflict)
	}
	token, err := h.Enroll(t.Context(), "web-1", true)
	if err != nil {
		t.Fatal(err)
	}
	run(t, join(t, token)).log.await(t, "connected")
	old.log.await(t, "the controller refuses this host")
}

func TestAnotherController(t *testing.T) {
	mine := openHub(t, hub.Options{Dir: t.TempDir()})
	token := enroll(t, mine, "web-1")
	other := openHub(t, hub.Options{Dir: t.TempDir()})
	token.URLs = []string{"tls://" + other.Addr()}
	l := run(t, token)
	l.log.await(t, "this is not the controller that the host joined")
}

func TestNewRefuses(t *testing.T) {
	good := enroll(t, openHub(t, hub.Options{Dir: t.TempDir()}), "web-1")
	for name, change := range map[string]func(*portsnare.Token){
		"certificate": func(t *portsnare.Token) { t.CA = []byte("x") },
		"credential":  func(t *portsnare.Token) { t.Seed = "x" },
	} {
		token := good
		change(&token)
		if _, err := link.New(link.Options{Token: token}); portsnare.KindOf(err) != portsnare.Invalid {
			t.Errorf("bad %s: %v; want kind %q", name, err, portsnare.Invalid)
		}
	}
}

func TestNothingIsLeft(t *testing.T) {
	h := openHub(t, hub.Options{Dir: t.TempDir()})
	before := runtime.NumGoroutine()
	l := run(t, enroll(t, h, "web-1"))
	l.log.await(t, "connected")
	l.stop()
	for range 500 { // the hub retires its side of the connection a little later
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
}

// A host that is told to stop while the controller does not answer stops.
func TestStopWhileConnecting(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	token := enroll(t, openHub(t, hub.Options{Dir: t.TempDir()}), "web-1")
	token.URLs = []string{"tls://" + silent.Addr().String()}
	l := run(t, token)
	if _, err := silent.Accept(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	l.stop()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
