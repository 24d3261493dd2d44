package link

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/rotator/hub"
)

// TestStormOverTheHub: 50,000 bans of which a tenth are sighted and the others found
// in the kernel, through the real agent, link and hub; then nothing. The link's
// own pace is lifted to what the controller's port grants a host, or it would take
// minutes; [TestPace] tests that.
func TestStormOverTheHub(t *testing.T) {
	const bans, sighted, patience = 50_000, 10, 2 * time.Minute
	s := newStormHub(t)
	agent := s.startAgent(t)
	before, written, hubLines := heap(), bytesWritten(t), s.hubLog.lines()
	begin := time.Now()
	writes := newWriteCount(s.agentDir)
	for n := range bans {
		s.backend.ban(nthSource(n), n%sighted == 0)
	}
	s.await(t, patience, "all bans are told", func() bool { writes.look(); return s.count(func(c *stormCount) int { return len(c.bans) }) == bans })
	s.await(t, patience, "the list is whole", func() bool {
		all := s.hub.Bans()
		return len(all.Bans) == bans && all.Hosts[0].Whole && all.Hosts[0].Bans == bans
	})
	s.await(t, patience, "all hits are told", func() bool {
		return s.count(func(c *stormCount) int { return c.hits + c.lost }) == bans/sighted
	})
	took := time.Since(begin)
	grown := heap() - before
	files, size := onDisk(t, s.hubDir)
	sent := s.link.counts()
	t.Logf("%d bans in %s: %d messages of %d KiB about bans, %d of %d KiB about hits (%d hits lost), %d reports", bans, took.Round(time.Second),
		sent.messages["bans"], sent.bytes["bans"]>>10, sent.messages["hits"], sent.bytes["hits"]>>10, s.told.lost, sent.messages["report"])
	t.Logf("log lines: agent %d, hub %d; heap of both sides: %d MiB more", s.agentLog.lines(), s.hubLog.lines(), grown>>20)
	t.Logf("agent: %d saves of its bans, %d KiB; controller: %d files of %d KiB; written by both to files and sockets: %d MiB",
		writes.files, writes.bytes>>10, files, size>>10, (bytesWritten(t)-written)>>20)
	s.wantOnce(t)
	if max := 3 * bans / portsnare.MaxBansPerMessage; sent.messages["bans"] > max {
		t.Errorf("%d messages about bans; want %d at most", sent.messages["bans"], max)
	}
	if agent, hub := s.agentLog.lines(), s.hubLog.lines()-hubLines; agent > 20+3*int(took/time.Second+1)*int(time.Second/stormReconcile) || hub > 0 {
		t.Errorf("%d lines of log by the agent, %d by the hub: %s", agent, hub, s.hubLog.last())
	}
	if grown > 192<<20 {
		t.Errorf("%d MiB more heap", grown>>20)
	}
	if size > 16<<20 || files > 100 {
		t.Errorf("the controller has %d files of %d KiB", files, size>>10)
	}
	s.wantPages(t, bans)
	s.wantQuiet(t, patience)

	agent.stop()
	saved, err := hostagent.LoadBans(s.agentDir)
	if err != nil || len(saved) != bans {
		t.Errorf("%d bans are saved, %v; want %d", len(saved), err, bans)
	}
}

// The agent of the storm looks at its kernel and reports this often, so that twenty
// looks and twelve reports, a minute's, come in ten seconds.
const (
	stormReconcile = 500 * time.Millisecond
	stormHeartbeat = 800 * time.Millisecond
	stormPace      = 250 << 10 // bytes a second
)

// stormHub is a hub, and a link to it.
type stormHub struct {
	hub              *hub.Hub
	link             countedLink
	backend          *lookedKernel
	hubDir, agentDir string
	hubLog, agentLog lineCount

	mu   sync.Mutex
	told stormCount
}

// stormCount is what the controller was told.
type stormCount struct {
	bans       map[netip.Prefix]int
	hits, lost int
}

func newStormHub(t *testing.T) *stormHub {
	t.Helper()
	s := &stormHub{hubDir: t.TempDir(), agentDir: t.TempDir(), told: stormCount{bans: map[netip.Prefix]int{}}}
	locked := func(change func()) { s.mu.Lock(); defer s.mu.Unlock(); change() }
	var err error
	s.hub, err = hub.Open(t.Context(), hub.Options{
		Dir: s.hubDir, Listen: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(&s.hubLog, nil)),
		OnHit:  func(portsnare.Hit) { locked(func() { s.told.hits++ }) },
		OnBan:  func(b portsnare.Ban) { locked(func() { s.told.bans[b.Source]++ }) },
		OnLost: func(_ string, hits int) { locked(func() { s.told.lost += hits }) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.hub.Close() })
	token, err := s.hub.Enroll(t.Context(), "web-1", false)
	if err != nil {
		t.Fatal(err)
	}
	credential, err := NewCredential(token)
	if err != nil {
		t.Fatal(err)
	}
	if err := Join(t.Context(), token, credential); err != nil {
		t.Fatal(err)
	}
	l, err := New(Options{Token: credential, Logger: slog.New(slog.NewTextHandler(&s.agentLog, nil))})
	if err != nil {
		t.Fatal(err)
	}
	l.out.messages.SetLimit(rate.Inf)
	l.out.bytes.SetLimit(stormPace)
	s.link = countedLink{l, &sentCount{messages: map[string]int{}, bytes: map[string]int{}}}
	s.backend = &lookedKernel{stormKernel: &stormKernel{bans: map[netip.Prefix]time.Time{}, seen: make(chan kernel.Sighting)}}
	return s
}

// startAgent starts the agent and waits until its order is armed.
func (s *stormHub) startAgent(t *testing.T) *stormAgent {
	t.Helper()
	order := portsnare.Order{Serial: "1", TrapsSerial: "1", Host: "web-1", Group: "web", Generation: 1, Policy: portsnare.DefaultPolicy(),
		Traps: portsnare.Traps{Secret: portsnare.PortSetOf(portsnare.Port{Protocol: portsnare.TCP, Number: 4000})}}
	order.Policy.BanMin, order.Policy.BanMax = time.Hour, time.Hour
	if err := s.hub.Send(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	agent := hostagent.New(hostagent.Config{
		Host: "web-1", Dir: s.agentDir, Backend: s.backend, Link: s.link, Sightings: s.backend, Logger: s.link.log,
		Listening: func() (portsnare.PortSet, error) { return portsnare.PortSet{}, nil },
		Gateways:  func() ([]netip.Addr, error) { return nil, nil },
		Reconcile: stormReconcile, Heartbeat: stormHeartbeat,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx) }()
	a := &stormAgent{stop: sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})}
	t.Cleanup(a.stop)
	soon, done := context.WithTimeout(t.Context(), 30*time.Second)
	defer done()
	if err := s.hub.Await(soon, order); err != nil {
		t.Fatal(err)
	}
	return a
}

type stormAgent struct{ stop func() }

func (s *stormHub) count(of func(*stormCount) int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return of(&s.told)
}

func (s *stormHub) await(t *testing.T, patience time.Duration, what string, met func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !met(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s; %d bans and %d hits were told, %d lost", what, patience,
				s.count(func(c *stormCount) int { return len(c.bans) }), s.told.hits, s.told.lost)
		}
	}
}

func (s *stormHub) wantOnce(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for source, n := range s.told.bans {
		if n != 1 {
			t.Fatalf("the ban of %s was told %d times", source, n)
		}
	}
}

// wantPages asks for the bans as the command line does.
func (s *stormHub) wantPages(t *testing.T, bans int) {
	t.Helper()
	if err := hub.Serve(s.hub, "bans", func(context.Context, struct{}) (hub.Bans, error) { return s.hub.Bans(), nil }); err != nil {
		t.Fatal(err)
	}
	client, err := hub.Dial(t.Context(), hub.ClientOptions{Dir: s.hubDir})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	begin := time.Now()
	var got hub.Bans
	if err := client.Request(ctx, "bans", nil, &got); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the operator gets %d KiB in %s", len(text)>>10, took.Round(time.Millisecond))
	if len(got.Bans) != bans || len(got.Hosts) != 1 || !got.Hosts[0].Whole {
		t.Errorf("the operator gets %d bans of %+v; want %d", len(got.Bans), got.Hosts, bans)
	}
}

// wantQuiet waits for as many looks and reports as a minute has, which bring nothing.
func (s *stormHub) wantQuiet(t *testing.T, patience time.Duration) {
	t.Helper()
	sent, agent, hub := s.link.counts(), s.agentLog.lines(), s.hubLog.lines()
	told := s.count(func(c *stormCount) int { return len(c.bans) + c.hits + c.lost })
	looks := s.backend.looks.Load()
	s.await(t, patience, "a minute's looks and reports", func() bool {
		return s.backend.looks.Load() >= looks+20 && s.link.counts().messages["report"] >= sent.messages["report"]+12
	})
	now := s.link.counts()
	if now.messages["bans"] != sent.messages["bans"] || now.messages["hits"] != sent.messages["hits"] {
		t.Errorf("a quiet minute: %d messages about bans, %d about hits", now.messages["bans"]-sent.messages["bans"], now.messages["hits"]-sent.messages["hits"])
	}
	if s.agentLog.lines() != agent || s.hubLog.lines() != hub {
		t.Errorf("a quiet minute: %d lines of log by the agent, %d by the hub:\n%s", s.agentLog.lines()-agent, s.hubLog.lines()-hub, s.agentLog.last())
	}
	if got := s.count(func(c *stormCount) int { return len(c.bans) + c.hits + c.lost }); got != told {
		t.Errorf("a quiet minute: %d bans and hits", got-told)
	}
	s.wantOnce(t)
}

// lookedKernel counts how often the agent looks at its bans.
type lookedKernel struct {
	*stormKernel
	looks atomic.Int64
}

func (k *lookedKernel) Bans(ctx context.Context) ([]portsnare.Ban, error) {
	k.looks.Add(1)
	return k.stormKernel.Bans(ctx)
}

// countedLink counts what it says in its one session.
type countedLink struct {
	*Link
	sent *sentCount
}

type sentCount struct {
	mu       sync.Mutex
	messages map[string]int // by kind
	bytes    map[string]int
}

func (l countedLink) Run(ctx context.Context, onOrder func(portsnare.Order)) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	nc, err := l.connect(ctx, end)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := (&inbox{link: l.Link, onOrder: onOrder}).fetch(ctx, nc); err != nil {
		return err
	}
	l.send(ctx, countedConn{nc, l.sent})
	return nil
}

func (l countedLink) counts() *sentCount {
	l.sent.mu.Lock()
	defer l.sent.mu.Unlock()
	now := &sentCount{messages: map[string]int{}, bytes: map[string]int{}}
	for kind := range l.sent.messages {
		now.messages[kind], now.bytes[kind] = l.sent.messages[kind], l.sent.bytes[kind]
	}
	return now
}

type countedConn struct {
	*nats.Conn
	sent *sentCount
}

func (c countedConn) Publish(subject string, data []byte) error {
	kind := strings.Split(subject, ".")[1]
	c.sent.mu.Lock()
	c.sent.messages[kind]++
	c.sent.bytes[kind] += len(data)
	c.sent.mu.Unlock()
	return c.Conn.Publish(subject, data)
}

// lineCount is a log of which the number of lines and the last one are kept.
type lineCount struct {
	mu   sync.Mutex
	n    int
	line string
}

func (l *lineCount) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n += bytes.Count(text, []byte("\n"))
	l.line = string(text)
	return len(text), nil
}

func (l *lineCount) lines() int { l.mu.Lock(); defer l.mu.Unlock(); return l.n }

func (l *lineCount) last() string { l.mu.Lock(); defer l.mu.Unlock(); return l.line }

func onDisk(t *testing.T, dir string) (files, size int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			files, size = files+1, size+int(info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, size
}

// bytesWritten returns how much this process has written to files and sockets.
func bytesWritten(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "wchar: "); ok {
			count, err := strconv.Atoi(strings.TrimSpace(n))
			if err != nil {
				t.Fatal(err)
			}
			return count
		}
	}
	t.Fatal("/proc/self/io has no wchar")
	return 0
}
