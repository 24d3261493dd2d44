package hostagent

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

func TestOrderIsArmedSavedAndReported(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.gateways = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1%eth0")}
		w.listening = parsePorts("22/tcp")
		w.start()
		if got := w.link.last(t); got.Armed != "" || got.Generation != 0 || !got.Listening.Equal(w.listening) {
			t.Errorf("report before any order: %+v", got)
		}
		order := newOrder(1)
		order.Allow = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
		w.send(order)

		if got := w.link.last(t); got.Armed != order.Digest() || got.Generation != 1 || got.Problem != "" || got.Host != "web-1" {
			t.Errorf("report: %+v; want the digest of the order as received, %s", got, order.Digest())
		}
		want := []netip.Prefix{
			netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("198.51.100.0/24"),
			netip.MustParsePrefix("203.0.113.5/32"), netip.MustParsePrefix("fe80::1/128"),
		}
		if got := w.kernel.order.Allow; !slices.Equal(got, want) {
			t.Errorf("allowed in the kernel: %v; want %v", got, want)
		}
		saved, err := LoadOrder(w.dir)
		if err != nil || saved.Digest() != order.Digest() {
			t.Errorf("saved order: %v, %v", saved, err)
		}
		if info, err := os.Stat(filepath.Join(w.dir, orderFile)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of the saved order: %v, %v; want 0600", info.Mode(), err)
		}
	})
}

func TestBootWithoutController(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		order := newOrder(1)
		w.send(order)
		w.see("198.51.100.7", "1000/tcp", true)
		w.stop()
		w.kernel = w.newKernel() // a reboot
		w.start()

		if got := w.kernel.order.Generation; got != 1 {
			t.Errorf("armed after the boot: generation %s; want 1", got)
		}
		if w.ready != 1 {
			t.Errorf("armed when the agent called itself ready: generation %s; want 1", w.ready)
		}
		if _, ok := w.kernel.bans[netip.MustParsePrefix("198.51.100.7/32")]; !ok {
			t.Error("the ban did not survive the boot")
		}
		if got := w.link.last(t); got.Armed != order.Digest() || got.Bans != 1 {
			t.Errorf("report after the boot: %+v", got)
		}
	})
}

func TestStateThatIsNotUsable(t *testing.T) {
	for name, text := range map[string]string{
		"damaged":       "{",
		"another host":  `{"host":"web-2"}`,
		"contradictory": `{"host":"web-1","policy":{"strikes":0}}`,
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				for _, file := range []string{orderFile, bansFile, friendsFile} {
					if err := os.WriteFile(filepath.Join(w.dir, file), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				w.start()
				if w.kernel.sets != 0 {
					t.Error("something was armed")
				}
				w.send(newOrder(1))
				if got := w.link.last(t); got.Generation != 1 {
					t.Errorf("report: %+v", got)
				}
			})
		})
	}
}

func TestOrderRefused(t *testing.T) {
	for name, spoil := range map[string]func(*portsnare.Order){
		"of another host":  func(o *portsnare.Order) { o.Host = "web-2" },
		"that contradicts": func(o *portsnare.Order) { o.Protected = o.Traps.Secret },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.start()
				good, bad := newOrder(1), newOrder(2)
				spoil(&bad)
				w.send(good)
				w.send(bad)
				if got := w.link.last(t); got.Armed != good.Digest() || got.Problem == "" {
					t.Errorf("report: %+v; want the order before, and a problem", got)
				}
				w.send(newOrder(3))
				if got := w.link.last(t); got.Generation != 3 || got.Problem != "" {
					t.Errorf("report: %+v; want generation 3 and no problem", got)
				}
			})
		})
	}
}

func TestOlderGenerationIsObeyed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(7))
		w.send(newOrder(3)) // the controller was restored from a backup
		if got := w.link.last(t).Generation; got != 3 {
			t.Errorf("armed: generation %s; want 3", got)
		}
	})
}

func TestKernelFails(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		w.kernel.err = errBroken
		w.send(newOrder(2))
		const want = "order not armed: ipset is missing (apt-get install ipset)"
		if got := w.link.last(t); got.Armed != "" || got.Generation != 0 || got.Problem != want {
			t.Errorf("report: %+v; want nothing armed and %q", got, want)
		}
		if saved, err := LoadOrder(w.dir); err != nil || saved.Generation != 1 {
			t.Errorf("saved: generation %s, %v; want the one that worked", saved.Generation, err)
		}

		w.kernel.err = nil
		w.wait(DefaultReconcile)
		if got := w.link.last(t); got.Generation != 2 || got.Problem != "" {
			t.Errorf("report after the repair: %+v", got)
		}
		if saved, err := LoadOrder(w.dir); err != nil || saved.Generation != 2 {
			t.Errorf("saved: generation %s, %v; want 2", saved.Generation, err)
		}
	})
}

func TestDamageIsRepaired(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		order := newOrder(1)
		w.send(order)
		w.kernel.order = kernel.State{} // somebody flushed
		w.wait(DefaultReconcile)
		if got := w.kernel.order.Generation; got != 1 {
			t.Errorf("in the kernel: generation %s; want 1", got)
		}
	})
}

func TestReportsComeRegularly(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		before := len(w.link.reports)
		w.wait(10 * DefaultHeartbeat)
		if got := len(w.link.reports) - before; got != 10 {
			t.Errorf("%d reports in ten heartbeats", got)
		}

		w.wait(time.Second)
		before = len(w.link.reports)
		w.listening = parsePorts("22/tcp,8080/tcp")
		w.wait(DefaultReconcile)
		if got := w.link.last(t); len(w.link.reports) != before+1 || !got.Listening.Equal(w.listening) {
			t.Errorf("after a new service: %d reports, %+v", len(w.link.reports)-before, got)
		}
	})
}

// Armed means saved: a host that would boot without the order is not armed. The
// kernel has it all the same, bans go on, and all is well as soon as the disk is.
func TestSaveFails(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		first, second := newOrder(1), newOrder(2)
		w.send(first)
		away := w.dir + ".away"
		if err := os.Rename(w.dir, away); err != nil {
			t.Fatal(err)
		}
		w.send(second)
		w.see("198.51.100.7", "2000/tcp", true)
		w.kernel.friends[friendAt(1, "22/tcp")] = time.Now().Add(portsnare.FriendTime)
		w.wait(time.Hour)
		got := w.link.last(t)
		if got.Armed != "" || got.ArmedTraps != "" || !strings.Contains(got.Problem, msgOrderUnsaved) || got.Bans != 0 {
			t.Errorf("report: %+v; want nothing armed, and a problem", got)
		}
		if w.kernel.order.Generation != 2 || len(w.link.bans) != 1 || len(w.link.ended) != 1 {
			t.Errorf("kernel: generation %s, bans told: %d and %d ended; want 2, 1 and 1", w.kernel.order.Generation, len(w.link.bans), len(w.link.ended))
		}
		for _, message := range []string{msgOrderUnsaved, msgBansUnsaved, msgFriendsUnsaved} {
			if n := strings.Count(w.log.String(), message); n != 1 {
				t.Errorf("%q was logged %d times in an hour; want once", message, n)
			}
		}

		if err := os.Rename(away, w.dir); err != nil {
			t.Fatal(err)
		}
		if saved, err := LoadOrder(w.dir); err != nil || saved.Generation != 1 {
			t.Errorf("on disk until then: generation %s, %v; want 1", saved.Generation, err)
		}
		w.wait(maxSaveDelay)
		if got := w.link.last(t); got.Armed != second.Digest() || got.Problem != "" {
			t.Errorf("report: %+v; want it armed and no problem", got)
		}
		if saved, err := LoadOrder(w.dir); err != nil || saved.Generation != 2 {
			t.Errorf("saved: generation %s, %v; want 2", saved.Generation, err)
		}
		if bans, err := LoadBans(w.dir); err != nil || len(bans) != 1 {
			t.Errorf("saved bans: %v, %v; want one, whose count is kept", bans, err)
		}
	})
}

// Whatever hangs, the agent ends within a second of its context.
func TestStopWhileTheKernelHangs(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.kernel.stuck = make(chan struct{})
		w.send(newOrder(1))
		begin := time.Now()
		err := w.stop()
		if took := time.Since(begin); !errors.Is(err, portsnare.Transient) || took > time.Second {
			t.Errorf("Run = %v after %s; want an error within a second", err, took)
		}
		w.stop = nil
		close(w.kernel.stuck)
	})
}

func TestNewestOrderWaitsForABusyAgent(t *testing.T) {
	a := New(Config{})
	for generation := range portsnare.Generation(5) {
		a.receive(newOrder(generation))
	}
	if got := (<-a.orders).Generation; got != 4 || len(a.orders) != 0 {
		t.Errorf("waiting: generation %s and %d more; want the newest alone", got, len(a.orders))
	}
}

func TestRunEndsWithSightings(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.sightings.err <- errBroken
		w.wait(0)
		if err := w.stop(); !errors.Is(err, errBroken) {
			t.Errorf("Run = %v; want %v", err, errBroken)
		}
		w.stop = nil
	})
}

// An order that could not be saved is in the kernel alone. After a restart without
// a controller its traps stay armed beside those of the order on disk, and the
// report says so.
func TestSavedOrderIsOlder(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		w.stop()
		newer := newOrder(2)
		w.kernel.order = kernel.State{Order: newer} // armed, and not saved
		w.start()
		both := newOrder(1).Traps.Union(newer.Traps)
		if got := w.kernel.order.Traps; !got.Ports().Equal(both.Ports()) || !got.Bait.Equal(both.Bait) {
			t.Errorf("armed after the restart: %s; want %s", got.Ports(), both.Ports())
		}
		if got := w.link.last(t).Problem; !strings.Contains(got, msgOrderOlder) {
			t.Errorf("problem %q; want it to say that the saved order is older", got)
		}
		w.send(newer)
		if got := w.link.last(t); !w.kernel.order.Traps.Ports().Equal(newer.Traps.Ports()) || got.Problem != "" || got.Armed != newer.Digest() {
			t.Errorf("then: %s armed, report %+v", w.kernel.order.Traps.Ports(), got)
		}
	})
}

func TestRepairsAndProblemsAreReported(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		w.kernel.problems = []error{errBroken}
		for range 3 {
			w.kernel.loseEverything()
			w.wait(DefaultReconcile)
		}
		if got := w.link.last(t); got.Repairs != 3 || !strings.Contains(got.Problem, msgIncomplete) || got.Generation != 1 {
			t.Errorf("report %+v; want 3 repairs, and a problem of an armed host", got)
		}
		w.kernel.problems = nil
		w.wait(DefaultReconcile)
		if got := w.link.last(t); got.Problem != "" {
			t.Errorf("problem %q; want none any more", got.Problem)
		}
	})
}

// An order is refused, and never ends the agent, whatever it is.
func TestOrderOutOfBounds(t *testing.T) {
	for name, spoil := range map[string]func(*portsnare.Order){
		"long allow list": func(o *portsnare.Order) {
			o.Allow = slices.Repeat([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, maxAllow+1)
		},
		"long serial":      func(o *portsnare.Order) { o.Serial = strings.Repeat("x", maxSerial+1) },
		"long trap serial": func(o *portsnare.Order) { o.TrapsSerial = strings.Repeat("x", maxSerial+1) },
		"no prefix":        func(o *portsnare.Order) { o.Allow = make([]netip.Prefix, 1) },
		"nothing":          func(o *portsnare.Order) { *o = portsnare.Order{} },
		"host of escapes":  func(o *portsnare.Order) { o.Host = "\x1b[2J" },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.start()
				order := newOrder(1)
				spoil(&order)
				w.send(order)
				if got := w.link.last(t); w.kernel.sets != 0 || !strings.Contains(got.Problem, msgRefused) || strings.ContainsRune(got.Problem, 0x1b) {
					t.Errorf("armed %d times, problem %q; want it refused", w.kernel.sets, got.Problem)
				}
			})
		})
	}
}
