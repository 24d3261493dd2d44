package hostagent

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// inTime is how soon the bans that the link was told are those of the kernel, with
// some time left for their way to the controller.
const inTime = 12 * time.Second

// wantListed waits, and then wants the link to hold the bans that the kernel holds,
// which are those of the sources named.
func (w *world) wantListed(when string, want ...string) {
	w.t.Helper()
	w.wait(inTime)
	var inKernel, named []source
	for s, until := range w.kernel.bans {
		if until.After(time.Now()) {
			inKernel = append(inKernel, s)
		}
	}
	for _, text := range want {
		named = append(named, netip.MustParsePrefix(text))
	}
	listed := slices.SortedFunc(maps.Keys(w.link.listed), source.Compare)
	slices.SortFunc(inKernel, source.Compare)
	slices.SortFunc(named, source.Compare)
	if !slices.Equal(inKernel, named) || !slices.Equal(listed, named) {
		w.t.Errorf("%s: in the kernel %v, listed %v; want %v", when, inKernel, listed, named)
	}
}

// What is listed is what the kernel holds, however a ban comes or goes.
func TestListedIsWhatTheKernelHolds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const one, two, three = "198.51.100.1/32", "198.51.100.2/32", "2001:db8:0:3::/64"
		w.start()
		order := newOrder(1)
		w.send(order)
		w.see("198.51.100.1", "1000/tcp", true)
		w.wantListed("a ban of which the kernel told", one)

		w.kernel.bans[netip.MustParsePrefix(two)] = time.Now().Add(time.Hour)
		w.kernel.bans[netip.MustParsePrefix(three)] = time.Now().Add(time.Hour)
		w.wantListed("bans found in the kernel", one, two, three)

		delete(w.kernel.bans, netip.MustParsePrefix(two))
		w.wantListed("deleted by hand, which is put right", one, two, three)
		w.kernel.loseEverything()
		w.wantListed("flushed by hand, which is put right", one, two, three)

		w.kernel.bans[netip.MustParsePrefix(two)] = time.Now().Add(time.Second)
		w.wantListed("shortened by hand, which is put right", one, two, three)

		order.Allow = []netip.Prefix{netip.MustParsePrefix("198.51.100.2/31")}
		w.send(order)
		w.wantListed("lifted by the allow list", one, three)

		// Its ban was on its way when it was lifted.
		w.sightings.seen <- kernel.Sighting{Ban: true, Source: netip.MustParseAddr("198.51.100.2"), Port: parsePort("1000/tcp"), At: w.wall()}
		synctest.Wait()
		w.wantListed("told by the kernel after it was lifted", one, three)

		w.restart()
		w.wantListed("after a restart of the agent", one, three)
		w.reboot(time.Minute, 0)
		w.wantListed("after a boot", one, three)
		w.wait(portsnare.DefaultPolicy().BanMin)
		w.wantListed("after the end of the first", three)
		w.wait(2 * time.Hour)
		w.wantListed("after the end of all")
	})
}

// None of many sightings that wait while the kernel is programmed is left out.
func TestManySightingsAtOnce(t *testing.T) {
	const many = 3*sightingBuffer + 1
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.kernel.stuck = make(chan struct{})
		w.link.orders <- newOrder(1)
		synctest.Wait()
		go func() {
			for n := range many {
				w.sightings.seen <- kernel.Sighting{Source: nthSource(n).Addr(), Port: parsePort("1000/tcp"), At: time.Now()}
			}
		}()
		synctest.Wait()
		close(w.kernel.stuck)
		w.wait(time.Second)
		if got := len(w.link.hits); got != many {
			t.Errorf("%d hits were told; want %d", got, many)
		}
	})
}
