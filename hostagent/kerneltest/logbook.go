package kerneltest

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/netlab"
	"github.com/portsnare/portsnare/hostagent/nflog"
)

// logbook holds what the kernel program has logged.
type logbook struct {
	reader *nflog.Reader

	mu   sync.Mutex
	seen []kernel.Sighting
}

// newLogbook reads what is logged on the server until the test ends.
func (w *world) newLogbook() *logbook {
	w.t.Helper()
	book := &logbook{reader: nflog.New(nflog.Options{Group: kernel.LogGroup})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- w.Server.Do(func() error { return book.reader.Run(ctx, book.add) })
	}()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("nflog: %v", err)
		}
	})
	for bound := false; !bound; time.Sleep(time.Millisecond) {
		w.check(w.Server.Do(func() error {
			list, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_log")
			bound = bytes.Contains(list, []byte(strconv.Itoa(kernel.LogGroup)))
			return err
		}))
	}
	return book
}

func (b *logbook) add(s kernel.Sighting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = append(b.seen, s)
}

// of returns what was logged of a source so far, oldest first.
func (b *logbook) of(source netip.Addr) (found []kernel.Sighting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.seen {
		if portsnare.BanPrefix(s.Source) == portsnare.BanPrefix(source) {
			found = append(found, s)
		}
	}
	return found
}

// len returns how much was logged so far.
func (b *logbook) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.seen)
}

// hits returns what the kernel has logged of a source: everything up to now,
// because a hit that is sent now is logged behind it.
func (w *world) hits(source netip.Addr) []kernel.Sighting {
	w.t.Helper()
	if _, none := w.b.(noDefence); none {
		return nil
	}
	w.check(w.Fence(w.soon(), w.fence))
	mark := w.mark()
	w.send(netlab.Packet{Src: mark, DstPort: 1200, Flags: netlab.SYN})
	w.await("the hit of "+mark.String()+" in the log", func() bool { return len(w.log.of(mark)) > 0 })
	return w.log.of(source)
}

// mark returns an address that has never been seen, nobody's.
func (w *world) mark() netip.Addr {
	n := w.marks.Add(1)
	if w.server.Is4() {
		return netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0xf, 0xff, byte(n >> 8), byte(n), 15: 1})
}

// banHit returns which of a source's hits had it banned, from 1; 0 for none.
func (w *world) banHit(source netip.Addr) int {
	w.t.Helper()
	return 1 + slices.IndexFunc(w.hits(source), func(s kernel.Sighting) bool { return s.Ban })
}
