package link_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/link"
	"github.com/portsnare/portsnare/rotator/hub"
)

// ledger is what a controller was told.
type ledger struct {
	mu   sync.Mutex
	hits map[portsnare.Generation]int // how often each was told; each has a generation of its own
	bans map[netip.Prefix]int
	lost int
}

func newLedger() *ledger {
	return &ledger{hits: map[portsnare.Generation]int{}, bans: map[netip.Prefix]int{}}
}

func (l *ledger) options(dir string) hub.Options {
	locked := func(change func()) {
		l.mu.Lock()
		defer l.mu.Unlock()
		change()
	}
	return hub.Options{
		Dir:    dir,
		OnHit:  func(h portsnare.Hit) { locked(func() { l.hits[h.Generation]++ }) },
		OnBan:  func(b portsnare.Ban) { locked(func() { l.bans[b.Source]++ }) },
		OnLost: func(_ string, hits int) { locked(func() { l.lost += hits }) },
	}
}

// told returns how many hits and bans there were. One that was told twice fails the
// test.
func (l *ledger) told(t *testing.T) (hits, bans, lost int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for generation, n := range l.hits {
		if n != 1 {
			t.Fatalf("hit %d was told %d times", generation, n)
		}
	}
	for source, n := range l.bans {
		if n != 1 {
			t.Fatalf("the ban of %s was told %d times", source, n)
		}
	}
	return len(l.hits), len(l.bans), l.lost
}

// wantTold waits until so many bans were told, and no ban twice. A ban is listed
// just before it is told.
func (l *ledger) wantTold(t *testing.T, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d bans were told", want), func() bool { _, bans, _ := l.told(t); return bans >= want })
	if _, bans, _ := l.told(t); bans != want {
		t.Errorf("%d bans were told; want %d", bans, want)
	}
}

// eventually waits for a condition that nobody signals.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !met(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// wantBans waits until the controller lists the bans of these sources, knows that
// they are all, and was told of each once.
func (l *ledger) wantBans(t *testing.T, h *hub.Hub, numbers ...int) {
	t.Helper()
	var want []netip.Prefix
	for _, n := range numbers {
		want = append(want, sourceOf(n))
	}
	var all hub.Bans
	defer func() {
		if t.Failed() {
			t.Logf("the controller lists %v, of hosts %+v; want %v", sources(all.Bans), all.Hosts, want)
		}
	}()
	eventually(t, "the list is whole", func() bool {
		all = h.Bans()
		return len(all.Hosts) == 1 && all.Hosts[0].Whole && slices.Equal(sources(all.Bans), want)
	})
	l.told(t)
}

func sources(bans []portsnare.Ban) (all []netip.Prefix) {
	for _, ban := range bans {
		all = append(all, ban.Source)
	}
	return all
}

func sourceOf(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}), 32)
}

// banOf returns a ban that began some time ago, with the hits that led to it.
func banOf(n int, ago time.Duration) portsnare.Ban {
	since := time.Now().UTC().Add(-ago)
	ban := portsnare.Ban{Host: "web-1", Source: sourceOf(n), Since: since, Until: since.Add(time.Hour), Count: 1}
	for port := range 3 {
		ban.Hits = append(ban.Hits, portsnare.Hit{Host: "web-1", Source: ban.Source.Addr(), Class: portsnare.Secret, Generation: 7,
			Port: portsnare.Port{Protocol: portsnare.TCP, Number: uint16(4000 + port)}, At: since})
	}
	return ban
}

func hitOf(n int) portsnare.Hit {
	return portsnare.Hit{Host: "web-1", Source: sourceOf(n).Addr(), Class: portsnare.Secret, Generation: portsnare.Generation(n),
		Port: portsnare.Port{Protocol: portsnare.TCP, Number: 4000}, At: time.Now().UTC()}
}

// Hits that wait for a connection come once each, those that found no room are
// counted, and the list of bans is the host's.
func TestEvidence(t *testing.T) {
	const room, more, late = 2000, 7, 300
	book := newLedger()
	h := openHub(t, book.options(t.TempDir()))
	l := newLink(t, enroll(t, h, "web-1"))
	for n := range room + more {
		l.Hit(hitOf(n + 1))
	}
	bans := []portsnare.Ban{banOf(1, 3*time.Minute), banOf(2, 2*time.Minute), banOf(3, time.Minute)}
	for _, ban := range bans {
		l.Ban(ban)
	}
	l.start(t)
	l.Report(portsnare.Report{Host: "web-1"})
	book.wantBans(t, h, 1, 2, 3)
	if diff := cmp.Diff(bans, h.Bans().Bans, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("bans (-told +listed):\n%s", diff)
	}
	came := func(want int) func() bool {
		return func() bool { hits, _, _ := book.told(t); return hits == want }
	}
	eventually(t, "the hits that found room came", came(room)) // else the late ones find none
	for n := range late {
		l.Hit(hitOf(room + more + n + 1))
	}
	eventually(t, "all hits came", came(room+late))
	book.wantTold(t, 3)
	if _, _, lost := book.told(t); lost != more {
		t.Errorf("%d hits counted as lost; want %d", lost, more)
	}
	l.Unban(sourceOf(2))
	book.wantBans(t, h, 1, 3)
	l.Ban(banOf(2, 0))
	eventually(t, "the source is banned again", func() bool { return len(h.Bans().Bans) == 3 })
	eventually(t, "the second ban of a source is told", func() bool {
		book.mu.Lock()
		defer book.mu.Unlock()
		return book.bans[sourceOf(2)] == 2
	})
}

// What has changed while the connection was down is there after it; nothing else
// is told again.
func TestBansAfterALostConnection(t *testing.T) {
	book := newLedger()
	h := openHub(t, book.options(t.TempDir()))
	token := enroll(t, h, "web-1")
	wire := newWire(t, h.Addr())
	token.URLs = []string{"tls://" + wire.addr()}
	l := newLink(t, token)
	for n := range 100 {
		l.Ban(banOf(n, time.Minute))
	}
	l.start(t)
	l.Report(portsnare.Report{Host: "web-1"})
	book.wantBans(t, h, upTo(100)...)

	wire.cut()
	l.log.await(t, "cannot reach the controller")
	l.Unban(sourceOf(0))
	l.Ban(banOf(100, 0))
	l.Ban(banOf(101, 10*time.Minute)) // found in the kernel: it began before all others
	book.wantBans(t, h, upTo(102)[1:]...)
	book.wantTold(t, 102)
}

func TestBansAfterAControllerRestart(t *testing.T) {
	book, dir := newLedger(), t.TempDir()
	h := openHub(t, book.options(dir))
	l := newLink(t, enroll(t, h, "web-1"))
	for n := range 100 {
		l.Ban(banOf(n, time.Minute))
	}
	l.start(t)
	l.Report(portsnare.Report{Host: "web-1"})
	book.wantBans(t, h, upTo(100)...)
	opts := book.options(dir)
	opts.Listen = h.Addr()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}

	l.log.await(t, "cannot reach the controller")
	l.Unban(sourceOf(0))
	l.Ban(banOf(100, 0))
	h = openHub(t, opts)
	if about := h.Bans().Hosts[0]; about.Whole {
		t.Errorf("%+v before the host has told anything; want not whole", about)
	}
	book.wantBans(t, h, upTo(101)[1:]...)
	book.wantTold(t, 101)
}

// An agent that was restarted has another run, and the same list.
func TestBansAfterAnAgentRestart(t *testing.T) {
	book := newLedger()
	h := openHub(t, book.options(t.TempDir()))
	token := enroll(t, h, "web-1")
	var bans []portsnare.Ban
	for n := range 100 {
		bans = append(bans, banOf(n, time.Minute))
	}
	for run := range 2 {
		l := newLink(t, token)
		for _, ban := range bans[run:] { // the first is over by the second run
			l.Ban(ban)
		}
		l.start(t)
		l.Report(portsnare.Report{Host: "web-1"})
		book.wantBans(t, h, upTo(100)[run:]...)
		l.stop()
	}
}

// An update that got lost is noticed by the next one, or by a report where none
// comes. Then the whole list is told, and the lost ban as well, though it began
// before others that were told.
func TestBansAfterAGap(t *testing.T) {
	report := func(l *link.Link) { l.Report(portsnare.Report{Host: "web-1"}) }
	for name, test := range map[string]struct {
		next func(l *link.Link)
		want []int
	}{
		"update": {func(l *link.Link) { l.Ban(banOf(3, 0)) }, []int{1, 2, 3}},
		"report": {func(*link.Link) {}, []int{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := newLedger()
			h := openHub(t, book.options(t.TempDir()))
			l := newLink(t, enroll(t, h, "web-1"))
			l.Ban(banOf(1, 0))
			var drop atomic.Bool
			dropped := make(chan struct{})
			l.speakOver(t, func(c link.Conn) link.Conn {
				return leaky{c, func(subject string) bool {
					if subject != portsnare.BansSubject("web-1") || !drop.CompareAndSwap(true, false) {
						return false
					}
					close(dropped)
					return true
				}}
			})
			report(l.Link)
			book.wantBans(t, h, 1)

			drop.Store(true)
			l.Ban(banOf(2, time.Minute))
			<-dropped
			test.next(l.Link)
			eventually(t, "the gap is closed", func() bool {
				report(l.Link)
				return len(h.Bans().Bans) == len(test.want)
			})
			book.wantBans(t, h, test.want...)
			book.wantTold(t, len(test.want))
		})
	}
}

func upTo(n int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, i)
	}
	return numbers
}

// leaky is a connection that loses messages.
type leaky struct {
	link.Conn
	drop func(subject string) bool
}

func (c leaky) Publish(subject string, data []byte) error {
	if c.drop(subject) {
		return nil
	}
	return c.Conn.Publish(subject, data)
}

// newLink returns a link that does not run yet.
func newLink(t *testing.T, token portsnare.Token) *running {
	t.Helper()
	r := &running{orders: make(chan portsnare.Order, 100), log: newLogBook()}
	var err error
	if r.Link, err = link.New(link.Options{Token: token, Logger: slog.New(slog.NewTextHandler(r.log, nil))}); err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs it until stop, or the end of the test.
func (r *running) start(t *testing.T) {
	r.during(t, func(ctx context.Context) error { return r.Run(ctx, func(o portsnare.Order) { r.orders <- o }) })
}

// speakOver has it speak over a connection that wrap may change.
func (r *running) speakOver(t *testing.T, wrap func(link.Conn) link.Conn) {
	r.during(t, func(ctx context.Context) error { return link.SpeakOver(ctx, r.Link, wrap) })
}

func (r *running) during(t *testing.T, task func(context.Context) error) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := task(ctx); err != nil {
			t.Error(err)
		}
	}()
	r.stop = func() { cancel(); <-ended }
	t.Cleanup(r.stop)
}

// wire carries connections to a port, until it is cut.
type wire struct {
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener}
	var carriers sync.WaitGroup
	carriers.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, near, far)
			w.mu.Unlock()
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				carriers.Go(func() {
					io.Copy(way[0], way[1])
					way[0].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		listener.Close()
		w.cut()
		carriers.Wait()
	})
	return w
}

func (w *wire) addr() string { return w.listener.Addr().String() }

// cut ends the connections that there are; new ones can be made.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.conns {
		conn.Close()
	}
	w.conns = nil
}
