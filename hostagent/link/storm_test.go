package link

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// stormKernel is a backend that holds bans, and the sightings that made them.
type stormKernel struct {
	mu   sync.Mutex
	bans map[netip.Prefix]time.Time
	seen chan kernel.Sighting
}

func (k *stormKernel) Set(context.Context, kernel.State) (bool, error)     { return false, nil }
func (k *stormKernel) Friends(context.Context) ([]portsnare.Friend, error) { return nil, nil }
func (k *stormKernel) Full(context.Context) ([]string, error)              { return nil, nil }
func (k *stormKernel) Problems() []error                                   { return nil }
func (k *stormKernel) Armed(context.Context) (kernel.Standing, error)      { return kernel.Standing{}, nil }
func (k *stormKernel) Run(ctx context.Context, each func(kernel.Sighting)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-k.seen:
			each(s)
		}
	}
}

func (k *stormKernel) Bans(context.Context) ([]portsnare.Ban, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var bans []portsnare.Ban
	for source, until := range k.bans {
		if until.After(time.Now()) {
			bans = append(bans, portsnare.Ban{Source: source, Until: until})
		}
	}
	return bans, nil
}

func (k *stormKernel) Ban(_ context.Context, bans []portsnare.Ban) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, ban := range bans {
		k.bans[ban.Source] = ban.Until
	}
	return nil
}

// ban shuts a source out for an hour, as the kernel does, with or without a
// word of it.
func (k *stormKernel) ban(source netip.Prefix, sighted bool) {
	k.mu.Lock()
	k.bans[source] = time.Now().Add(time.Hour)
	k.mu.Unlock()
	if sighted {
		k.seen <- kernel.Sighting{Ban: true, Source: source.Addr(), Port: portsnare.Port{Protocol: portsnare.TCP, Number: 4000}, At: time.Now()}
	}
}

// stormLink is a link over a connection that the test makes.
type stormLink struct {
	*Link
	controller *controller
}

func (l stormLink) Run(ctx context.Context, onOrder func(portsnare.Order)) error {
	order := portsnare.Order{Serial: "1", Host: "web-1", Group: "web", Generation: 1, Policy: portsnare.DefaultPolicy(),
		Traps: portsnare.Traps{Secret: portsnare.PortSetOf(portsnare.Port{Protocol: portsnare.TCP, Number: 4000})}}
	order.Policy.BanMin, order.Policy.BanMax = time.Hour, time.Hour
	onOrder(order)
	l.send(ctx, l.controller)
	return nil
}

// TestStorm: 50,000 bans, half of them found in the kernel without a sighting,
// through agent and link to a controller; then nothing.
func TestStorm(t *testing.T) {
	const bans = 50_000
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		backend := &stormKernel{bans: map[netip.Prefix]time.Time{}, seen: make(chan kernel.Sighting)}
		link := stormLink{newTestLink(), newController(t)}
		link.log = slog.New(slog.NewTextHandler(fenced{link.controller, &log}, nil))
		agent := hostagent.New(hostagent.Config{
			Host: "web-1", Dir: dir, Backend: backend, Link: link, Sightings: backend, Logger: link.log,
			Listening: func() (portsnare.PortSet, error) { return portsnare.PortSet{}, nil },
			Gateways:  func() ([]netip.Addr, error) { return nil, nil },
			Reconcile: 15 * time.Second, // a look at 50,000 bans takes this test long
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		before := heap()
		go func() { ended <- agent.Run(ctx) }()
		time.Sleep(time.Second)
		synctest.Wait()
		writes := newWriteCount(dir)
		for n := range bans {
			backend.ban(nthSource(n), n%2 == 0)
			if n%100 == 0 {
				time.Sleep(time.Second) // 100 bans a second for 500 s
				synctest.Wait()
				writes.look()
			}
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		controller := link.controller
		told := len(controller.updates)
		lines := bytes.Count(log.Bytes(), []byte("\n"))
		t.Logf("%d bans: %d messages, %d of them about bans, %d lines of log, %d saves of %d KiB", bans, len(controller.sent), told, lines, writes.files, writes.bytes>>10)
		if len(controller.bans) != bans {
			t.Errorf("the controller knows %d bans; want %d", len(controller.bans), bans)
		}
		for source, n := range controller.told {
			if n != 1 {
				t.Fatalf("%s was told %d times", source, n)
			}
		}
		if lines > 2000 {
			t.Errorf("%d lines of log", lines)
		}
		controller.updates, controller.bans, controller.told = nil, nil, nil // else half of what is measured
		grown := heap() - before
		t.Logf("%d KiB more heap", grown>>10)
		if grown > 64<<20 { // some 1,000 bytes a ban, the fake kernel and the log included
			t.Errorf("%d MiB more heap", grown>>20)
		}
		if rate := writes.bytes / 1100; rate > 300<<10 {
			t.Errorf("%d bytes saved a second", rate)
		}
		controller.wantPace()
		controller.fence()

		writes.look()
		saved := writes.files
		for range 10 {
			time.Sleep(time.Minute)
			synctest.Wait()
			writes.look()
		}
		if len(controller.updates) != 0 || bytes.Count(log.Bytes(), []byte("\n")) != lines || writes.files != saved {
			t.Errorf("ten quiet minutes: %d updates, %d lines of log, %d saves", len(controller.updates), bytes.Count(log.Bytes(), []byte("\n"))-lines, writes.files-saved)
		}
		controller.fence()
		time.Sleep(time.Hour)
		synctest.Wait()
		if controller.ended != bans {
			t.Errorf("the end of %d bans was told; want %d", controller.ended, bans)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// fenced is a log that a test may read between two calls of fence.
type fenced struct {
	*controller
	io.Writer
}

func (f fenced) Write(line []byte) (int, error) {
	f.fence()
	return f.Writer.Write(line)
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// writeCount counts how often the saved bans were replaced, by looking often.
type writeCount struct {
	path         string
	last         os.FileInfo
	files, bytes int
}

func newWriteCount(dir string) *writeCount {
	return &writeCount{path: filepath.Join(dir, "bans.json")}
}

func (w *writeCount) look() {
	info, err := os.Stat(w.path)
	if err != nil || w.last != nil && os.SameFile(info, w.last) && info.ModTime().Equal(w.last.ModTime()) {
		return
	}
	w.last = info
	w.files++
	w.bytes += int(info.Size())
}
