package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/portsnare/portsnare"
)

const (
	probeEvery = time.Second // while the disk is full, and to notice that the store has ended
	probeSize  = 1 << 20     // that must fit before the store is opened again
)

// disk watches the store. JetStream stops for good when it cannot write, and a
// stream of it stays closed to writes: both are opened again once there is room.
type disk struct {
	dir  string
	nats *server.Server
	opts *server.Options
	log  *slog.Logger

	broken *atomic.Bool // the server says that it could not write to a stream
	stop   chan struct{}
	ended  sync.WaitGroup

	mu    sync.Mutex
	cause error // why nothing can be written; nil: it can
}

func watchDisk(dir string, n *server.Server, opts *server.Options, broken *atomic.Bool, log *slog.Logger) *disk {
	d := &disk{dir: dir, nats: n, opts: opts, log: log, broken: broken, stop: make(chan struct{})}
	d.ended.Go(d.watch)
	return d
}

func (d *disk) watch() {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-d.stop:
			return
		case <-ticker.C:
		}
		if d.broken.Swap(false) || d.fault() != nil || !d.nats.JetStreamEnabled() {
			d.examine()
		}
	}
}

func (d *disk) close() {
	close(d.stop)
	d.ended.Wait()
}

// fault returns why nothing can be written, or nil.
func (d *disk) fault() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cause
}

// suspect examines the disk because of err, and returns the better reason.
func (d *disk) suspect(err error) error {
	if cause := d.fault(); cause != nil {
		return cause
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if probe := d.probe(); probe != nil {
		d.begin(probe)
		return d.cause
	}
	return err
}

// examine opens the store again if it can be written to.
func (d *disk) examine() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.probe(); err != nil {
		d.begin(err)
		return
	}
	if err := d.reopen(); err != nil {
		d.begin(err)
		return
	}
	d.cause = nil
	d.log.Info(msgDiskFine)
}

func (d *disk) begin(cause error) {
	if d.cause == nil {
		d.log.Error(msgDiskFull, keyError, cause)
	}
	d.cause = diskError(d.dir, cause)
}

// reopen restarts the store alone: connections and subscriptions stay.
func (d *disk) reopen() error {
	if err := d.nats.DisableJetStream(); err != nil {
		return err
	}
	// Starting the store writes a field of the server that requests to the store
	// have read without its lock (2.15.2). None is under way any more; asking after
	// every connection takes each one's lock, behind its last request.
	if _, err := d.nats.Connz(&server.ConnzOptions{Limit: server.DEFAULT_MAX_CONNECTIONS}); err != nil {
		return err
	}
	return d.nats.EnableJetStream(&server.JetStreamConfig{
		StoreDir: d.opts.StoreDir, SyncInterval: d.opts.SyncInterval, SyncAlways: d.opts.SyncAlways,
		MaxMemory: d.opts.JetStreamMaxMemory, MaxStore: d.opts.JetStreamMaxStore, Strict: !d.opts.NoJetStreamStrict,
	})
}

// probe writes a file and removes it.
func (d *disk) probe() error {
	f, err := os.CreateTemp(d.dir, ".probe-")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeSize))
	err = errors.Join(err, f.Sync(), f.Close())
	return errors.Join(err, os.Remove(f.Name()))
}

// removeProbes removes what a kill between the steps of probe has left.
func removeProbes(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, ".probe-*")) // the pattern is right
	for _, path := range left {
		os.Remove(path)
	}
}

// diskError says in plain words why nothing can be written below dir.
func diskError(dir string, err error) error {
	e := &portsnare.Error{
		Kind: portsnare.Transient, Op: "write to", Subject: dir, Err: err,
		Hint: "make " + dir + " writable; the controller goes on by itself then",
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Err = fmt.Errorf("disk full: %w", err)
		e.Hint = "free some space there (df -h " + dir + "); the controller goes on by itself then"
	case errors.Is(err, syscall.EROFS):
		e.Err = fmt.Errorf("the file system is read-only: %w", err)
	}
	return e
}
