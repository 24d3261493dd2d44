package link

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/portsnare/portsnare"
)

func newTestLink() *Link { return &Link{out: newOutbox(), token: portsnare.Token{Host: "web-1"}} }

func hit(n int) portsnare.Hit {
	return portsnare.Hit{Host: "web-1", Source: netip.MustParseAddr("198.51.100.7"), Class: portsnare.Secret,
		Port: portsnare.Port{Protocol: portsnare.TCP, Number: 4000}, Generation: portsnare.Generation(n), At: noon}
}

func generations(hits []portsnare.Hit) []int {
	var list []int
	for _, h := range hits {
		list = append(list, int(h.Generation))
	}
	return list
}

func nthSource(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)}), 32)
}

var quiet = slog.New(slog.DiscardHandler)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// nthBan has three hits, as bans of the default policy have.
func nthBan(n int) portsnare.Ban {
	ban := portsnare.Ban{Host: "web-1", Source: nthSource(n), Since: noon, Until: noon.Add(time.Hour), Count: 1}
	for port := range 3 {
		ban.Hits = append(ban.Hits, portsnare.Hit{Host: "web-1", Source: ban.Source.Addr(), Class: portsnare.Secret, Generation: 123456,
			Port: portsnare.Port{Protocol: portsnare.TCP, Number: uint16(50000 + port)}, At: noon.Add(123456789)})
	}
	return ban
}

// controller is a conn at whose other end a controller listens: it follows the
// bans as [portsnare.BanUpdate] says, and notes when how much came.
type controller struct {
	mu      sync.Mutex // see fence
	t       *testing.T
	resync  nats.MsgHandler
	fail    error // of the next message
	sent    []sent
	reports []portsnare.Report
	hits    []portsnare.Hit
	lost    int

	run     string
	number  uint64
	bans    map[netip.Prefix]portsnare.Ban
	told    map[netip.Prefix]int // how often each was told since the last reset
	whole   bool
	resets  int
	ended   int
	updates []portsnare.BanUpdate
}

type sent struct {
	at      time.Time
	subject string
	size    int
}

func newController(t *testing.T) *controller { return &controller{t: t} }

func (c *controller) Subscribe(subject string, hear nats.MsgHandler) (*nats.Subscription, error) {
	if subject != portsnare.ResyncSubject("web-1") {
		c.t.Errorf("subscribed to %s", subject)
	}
	c.resync = hear
	return nil, nil
}

func (c *controller) FlushWithContext(context.Context) error { return nil }

func (c *controller) Publish(subject string, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.fail; err != nil {
		c.fail = nil
		return err
	}
	c.sent = append(c.sent, sent{time.Now(), subject, len(data)})
	switch subject {
	case portsnare.ReportSubject("web-1"):
		c.reports = append(c.reports, parse[portsnare.Report](c.t, data))
	case portsnare.HitsSubject("web-1"):
		batch := parse[portsnare.HitBatch](c.t, data)
		if batch.Host != "web-1" || len(batch.Hits) == 0 || len(batch.Hits) > portsnare.MaxHitsPerMessage {
			c.t.Errorf("%d hits in a message of host %q", len(batch.Hits), batch.Host)
		}
		c.hits, c.lost = append(c.hits, batch.Hits...), c.lost+batch.Lost
	case portsnare.BansSubject("web-1"):
		c.follow(parse[portsnare.BanUpdate](c.t, data))
	default:
		c.t.Errorf("published on %s", subject)
	}
	return nil
}

func parse[T any](t *testing.T, data []byte) (v T) {
	if err := json.Unmarshal(data, &v); err != nil {
		t.Error(err)
	}
	return v
}

// fence orders what a test has read so far before all that comes later, for the
// race detector: the passing of time in a bubble orders nothing.
func (c *controller) fence() {
	c.mu.Lock()
	defer c.mu.Unlock()
}

// follow applies an update.
func (c *controller) follow(u portsnare.BanUpdate) {
	c.updates = append(c.updates, u)
	switch {
	case u.Host != "web-1" || u.Run == "" || len(u.Bans) > portsnare.MaxBansPerMessage:
		c.t.Errorf("update of %q, run %q, %d bans", u.Host, u.Run, len(u.Bans))
	case u.Reset:
		c.bans, c.told = map[netip.Prefix]portsnare.Ban{}, map[netip.Prefix]int{}
		c.resets++
	case u.Run != c.run || u.Number != c.number+1:
		c.t.Errorf("update %d of run %s after %d of %s", u.Number, u.Run, c.number, c.run)
	}
	c.run, c.number, c.whole = u.Run, u.Number, u.Left == 0
	for _, ban := range u.Bans {
		c.bans[ban.Source] = ban
		c.told[ban.Source]++
	}
	c.ended += len(u.Ended)
	for _, source := range u.Ended {
		delete(c.bans, source)
	}
}

// inSession runs a test in a bubble, with a link that is connected to a controller.
func inSession(t *testing.T, before func(*Link), test func(t *testing.T, l *Link, c *controller)) {
	synctest.Test(t, func(t *testing.T) {
		l, c := newTestLink(), newController(t)
		if before != nil {
			before(l)
		}
		end := connect(t, l, c)
		test(t, l, c)
		end()
	})
}

func connect(t *testing.T, l *Link, c *controller) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var session sync.WaitGroup
	session.Go(func() { l.send(ctx, c) })
	settle()
	return func() { cancel(); session.Wait() }
}

// settle waits until all is told.
func settle() {
	time.Sleep(10 * time.Minute)
	synctest.Wait()
}

func TestWholeListAfterConnect(t *testing.T) {
	putBans := func(l *Link) {
		for n := range 95 {
			l.Ban(nthBan(n))
		}
		l.Unban(nthSource(7))
		l.Report(portsnare.Report{Armed: "a"})
	}
	inSession(t, putBans, func(t *testing.T, l *Link, c *controller) {
		var shape []string
		for _, u := range c.updates {
			shape = append(shape, fmt.Sprintf("%d reset=%t bans=%d left=%d", u.Number, u.Reset, len(u.Bans), u.Left))
		}
		want := []string{"1 reset=true bans=40 left=54", "2 reset=false bans=40 left=14", "3 reset=false bans=14 left=0"}
		if !slices.Equal(shape, want) {
			t.Errorf("updates %q; want %q", shape, want)
		}
		if _, ok := c.bans[nthSource(7)]; ok || len(c.bans) != 94 {
			t.Errorf("%d bans are known; want all 94", len(c.bans))
		}
		l.Report(portsnare.Report{Armed: "b"})
		settle()
		if got := c.reports[len(c.reports)-1]; got.Armed != "b" || got.Run != c.run || got.BanNumber != 3 {
			t.Errorf("report %+v; want run %s and ban number 3", got, c.run)
		}
	})
	// Nothing there is something to tell too.
	inSession(t, nil, func(t *testing.T, _ *Link, c *controller) {
		if len(c.updates) != 1 || !c.updates[0].Reset || !c.whole || len(c.bans) != 0 {
			t.Errorf("updates %+v; want one, whole and empty", c.updates)
		}
	})
}

func TestIncrements(t *testing.T) {
	inSession(t, nil, func(t *testing.T, l *Link, c *controller) {
		l.Ban(nthBan(1))
		l.Ban(nthBan(2))
		settle()
		l.Ban(nthBan(1)) // no news
		l.Unban(nthSource(3))
		settle()
		if len(c.updates) != 2 || len(c.bans) != 2 {
			t.Fatalf("updates %+v; want the empty list, and one for two bans at once", c.updates)
		}
		longer := nthBan(1)
		longer.Until = longer.Until.Add(time.Hour)
		l.Ban(longer)
		l.Unban(nthSource(2))
		settle()
		if len(c.bans) != 1 || !c.bans[nthSource(1)].Until.Equal(longer.Until) {
			t.Errorf("bans known: %v; want the longer one alone", c.bans)
		}
		l.Unban(nthSource(1))
		l.Ban(longer) // at once again
		settle()
		if len(c.bans) != 1 {
			t.Errorf("bans known: %v; want the one that came back", c.bans)
		}
	})
}

func TestResync(t *testing.T) {
	inSession(t, nil, func(t *testing.T, l *Link, c *controller) {
		for n := range 50 {
			l.Ban(nthBan(n))
		}
		settle()
		c.bans = nil // the controller has lost them
		c.resync(nil)
		settle()
		if len(c.bans) != 50 || c.resets != 2 || !c.whole {
			t.Errorf("%d bans after the resync, %d resets", len(c.bans), c.resets)
		}
	})
}

// A controller that asks again and again gets the end of a list nevertheless.
func TestResyncWhileListing(t *testing.T) {
	inSession(t, func(l *Link) {
		for n := range 2000 {
			l.Ban(nthBan(n))
		}
	}, func(t *testing.T, l *Link, c *controller) {
		before := len(c.updates)
		for range 30 {
			c.resync(nil)
			time.Sleep(time.Second)
			l.Ban(nthBan(3000)) // meanwhile
		}
		settle()
		wholes := 0
		for _, u := range c.updates[before:] {
			if u.Left == 0 {
				wholes++
			}
		}
		if wholes < 2 || len(c.bans) != 2001 || !c.whole {
			t.Errorf("%d lists were told to their end, %d bans are known in the end; want 2 at least, and 2001", wholes, len(c.bans))
		}
	})
}

// Fifty thousand bans, hits without end and reports: no second sees more than a
// controller grants, and reports come in time.
func TestPace(t *testing.T) {
	const bans = 50_000
	synctest.Test(t, func(t *testing.T) {
		l, c := newTestLink(), newController(t)
		l.log = quiet
		for n := range bans {
			l.Ban(nthBan(n))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var session sync.WaitGroup
		session.Go(func() { l.send(ctx, c) })
		begin, listed := time.Now(), time.Duration(0)
		for i := range 3000 {
			l.Hit(hit(i))
			if i%50 == 0 {
				l.Report(portsnare.Report{})
			}
			time.Sleep(100 * time.Millisecond)
			if synctest.Wait(); listed == 0 && c.whole {
				listed = time.Since(begin)
			}
			c.fence()
		}
		cancel()
		session.Wait()
		t.Logf("%d bans are told in %s, in %d messages", bans, listed, len(c.updates))
		if len(c.bans) != bans || listed == 0 {
			t.Errorf("%d bans are known; want %d", len(c.bans), bans)
		}
		if len(c.hits)+c.lost < 2900 {
			t.Errorf("%d hits came and %d are said to be lost, of 3000", len(c.hits), c.lost)
		}
		c.wantPace()
	})
}

// wantPace fails the test if more came in any second than a controller grants, or
// if there was no report for six.
func (c *controller) wantPace() {
	var reported time.Time
	for i, s := range c.sent {
		bytes, messages := 0, 0
		for _, later := range c.sent[i:] {
			if later.at.Sub(s.at) >= time.Second {
				break
			}
			messages++
			bytes += later.size
		}
		if messages > 20 || bytes > 256<<10 {
			c.t.Fatalf("%d messages and %d bytes in one second", messages, bytes)
		}
		if s.size > 64<<10 {
			c.t.Errorf("a message of %d bytes on %s", s.size, s.subject)
		}
		if s.subject == portsnare.ReportSubject("web-1") {
			if gap := s.at.Sub(reported); !reported.IsZero() && gap > 6*time.Second {
				c.t.Errorf("no report for %s", gap)
			}
			reported = s.at
		}
	}
}

// The largest bans that there can be fit into messages of the agreed size.
func TestUpdateSize(t *testing.T) {
	l := newBanList()
	host := string(make([]byte, 63))
	for n := range 3 * portsnare.MaxBansPerMessage {
		addr := netip.MustParseAddr(fmt.Sprintf("2001:db8:ffff:%x::", 0xf000+n))
		ban := portsnare.Ban{Host: host, Source: portsnare.BanPrefix(addr), Since: noon.Add(123456789), Until: noon.Add(123456789), Count: 1 << 40}
		for port := range portsnare.MaxStrikes {
			ban.Hits = append(ban.Hits, portsnare.Hit{Host: host, Source: netip.MustParseAddr("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), Class: portsnare.Neighbour,
				Port: portsnare.Port{Protocol: portsnare.TCP, Number: uint16(60000 + port)}, Generation: 1 << 62, At: noon.Add(123456789)})
		}
		l.put(ban)
	}
	for range 3 * portsnare.MaxBansPerMessage {
		l.drop(netip.PrefixFrom(netip.MustParseAddr("2001:db8::"), 64))
	}
	known := 0
	for u, news := l.next(); news; u, news = l.next() {
		for i := range u.Bans { // a name has no byte that JSON would escape
			u.Bans[i].Host = "a"
			for k := range u.Bans[i].Hits {
				u.Bans[i].Hits[k].Host = "a"
			}
		}
		text, err := json.Marshal(u)
		if size := len(text) + len(u.Bans)*(1+portsnare.MaxStrikes)*62; err != nil || size > 64<<10-512 {
			t.Errorf("an update of %d bytes, %v", size, err)
		}
		known += len(u.Bans)
	}
	if known != 3*portsnare.MaxBansPerMessage {
		t.Errorf("%d bans were told", known)
	}
}

func TestHitsWaitForAConnection(t *testing.T) {
	l := newTestLink()
	for n := range maxQueued + 3 {
		l.Hit(hit(n))
	}
	first := l.out.take("web-1").hits
	if len(first.Hits) != portsnare.MaxHitsPerMessage || first.Lost != 3 || first.Hits[0].Generation != 3 {
		t.Fatalf("%d hits from %s, %d lost; want %d from 3, and 3", len(first.Hits), first.Hits[0].Generation, first.Lost, portsnare.MaxHitsPerMessage)
	}
	l.out.putBack(batch{hits: first})
	got, lost := 0, 0
	for b := l.out.take("web-1"); b.hits != nil; b = l.out.take("web-1") {
		got, lost = got+len(b.hits.Hits), lost+b.hits.Lost
	}
	if got != maxQueued || lost != 3 {
		t.Errorf("%d hits and %d lost; want %d and 3", got, lost, maxQueued)
	}
}

func TestWhatWasNotSentGoesFirst(t *testing.T) {
	l := newTestLink()
	l.Hit(hit(1))
	l.Hit(hit(2))
	failed := l.out.take("web-1")
	l.Hit(hit(3))
	l.out.putBack(failed)
	if got, want := generations(l.out.take("web-1").hits.Hits), []int{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("hits %v; want %v", got, want)
	}
}

// What a connection took with it when it broke is told over the next.
func TestConnectionBreaks(t *testing.T) {
	inSession(t, nil, func(t *testing.T, l *Link, c *controller) {
		c.fail = nats.ErrConnectionClosed
		l.Ban(nthBan(1))
		settle()
		l.Hit(hit(1))
		l.Report(portsnare.Report{Armed: "a"})
		end := connect(t, l, c)
		if len(c.bans) != 1 || len(c.hits) != 1 || len(c.reports) != 1 || c.resets != 2 {
			t.Errorf("over the second connection: %d bans, %d hits, %d reports, %d resets", len(c.bans), len(c.hits), len(c.reports), c.resets)
		}
		end()
	})
}

func TestOnlyTheNewestReportCounts(t *testing.T) {
	l := newTestLink()
	l.Report(portsnare.Report{Armed: "a"})
	l.Report(portsnare.Report{Armed: "b"})
	if b := l.out.take("web-1"); b.report == nil || b.report.Armed != "b" {
		t.Errorf("report %+v; want b", b.report)
	}
	if b := l.out.take("web-1"); b.report != nil {
		t.Errorf("report %+v is told twice", b.report)
	}
	l.Report(portsnare.Report{Armed: "c"})
	if b := l.out.take("web-1"); b.report == nil || b.report.Armed != "c" {
		t.Errorf("report %+v; want c", b.report)
	}
}

// TestOverNATS: the same over a real server, with a real request for a resync.
func TestOverNATS(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(s.Shutdown)
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server does not start")
	}
	dial := func() *nats.Conn {
		nc, err := nats.Connect(s.ClientURL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	there, here := dial(), dial()
	updates := make(chan portsnare.BanUpdate, 10)
	if _, err := there.Subscribe(portsnare.BansSubject("web-1"), func(m *nats.Msg) { updates <- parse[portsnare.BanUpdate](t, m.Data) }); err != nil {
		t.Fatal(err)
	}
	if err := there.Flush(); err != nil {
		t.Fatal(err)
	}
	l := newTestLink()
	l.Ban(nthBan(1))
	ctx, cancel := context.WithCancel(t.Context())
	var session sync.WaitGroup
	session.Go(func() { l.send(ctx, here) })
	defer session.Wait()
	defer cancel()
	for n := range uint64(2) {
		select {
		case u := <-updates:
			if !u.Reset || u.Number != n+1 || len(u.Bans) != 1 || u.Bans[0].Source != nthSource(1) {
				t.Errorf("update %+v; want the whole list, number %d", u, n+1)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("no update came")
		}
		if err := there.Publish(portsnare.ResyncSubject("web-1"), nil); err != nil {
			t.Fatal(err)
		}
	}
}
