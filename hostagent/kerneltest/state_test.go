package kerneltest

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// TestRestart: another agent, of this version or the next, finds everything in
// the kernel.
func TestRestart(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.set(w.order())
		banned, struck := w.source(), w.source()
		w.syn(banned, 1001, 1002, 1003)
		w.syn(struck, 1001, 1002)
		w.b = w.open()
		if w.set(w.order()) {
			t.Error("the second Set changed something")
		}
		w.wantBanned(banned, true)
		w.syn(struck, 1001, 1002)
		w.wantBanned(struck, false)
		w.syn(struck, 1003)
		w.wantBanned(struck, true)
		w.record("State", "restart of the agent", "bans, strikes and hits kept")
	})
}

// TestSecondSet changes nothing, also by an agent that has just started.
func TestSecondSet(t *testing.T) {
	all := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"), netip.MustParsePrefix("192.0.2.1/32")}
	changes := []struct {
		name string
		make func(*kernel.State)
	}{
		{"everything", func(*kernel.State) {}},
		{"alarm", func(o *kernel.State) { o.Alarm = true }},
		{"delay", func(o *kernel.State) { o.Policy.Delay = true }},
		{"no cloud firewall", func(o *kernel.State) { o.CloudFirewall = false }},
		{"one strike", func(o *kernel.State) { o.Policy.Strikes = 1 }},
		{"all allowed", func(o *kernel.State) { o.Allow = all }},
	}
	forEach(t, defences, func(t *testing.T, w *world) {
		everything := w.everything() // till the same moments in all
		for _, change := range changes {
			order := everything
			change.make(&order)
			if !w.set(order) {
				t.Errorf("%s: the first Set changed nothing", change.name)
			}
			w.b = w.open()
			before := w.snapshot()
			if w.set(order) {
				t.Errorf("%s: the second Set changed something", change.name)
			}
			if diff := cmp.Diff(before, w.snapshot()); diff != "" {
				t.Errorf("%s (-before +after):\n%s", change.name, diff)
			}
		}
		w.record("State", "the second Set, also by another agent", "no change")
	})
}

// TestPolicyChanges: hits, strikes and bans outlive a change of the policy, and
// the next ban is as long as the new one says.
func TestPolicyChanges(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		w.set(order)
		banned, struck, other := w.source(), w.source(), w.source()
		w.syn(banned, 1001, 1002, 1003)
		w.syn(struck, 1001, 1002)
		order.Policy = portsnare.Policy{Strikes: 4, Window: 2 * time.Hour, BanMin: time.Hour, BanMax: time.Hour}
		w.set(order)
		w.syn(struck, 1001, 1002, 1003)
		w.wantBanned(struck, false)
		w.wantBanned(banned, true)
		w.syn(struck, 1004)
		w.wantBanned(struck, true)
		if left := time.Until(w.bans()[portsnare.BanPrefix(struck)]); left < 59*time.Minute || left > time.Hour {
			t.Errorf("ban lasts %s, want 1h", left)
		}
		order.Policy.Strikes = 2
		w.set(order)
		w.syn(other, 1001, 1002)
		w.wantBanned(other, true)
		w.record("State", "another policy", "bans, strikes and hits kept")
	})
}

// TestReboot: a new kernel gets the bans back, with the time that was left.
func TestReboot(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		w.set(order)
		banned, longer := w.source(), w.source()
		w.syn(banned, 1001, 1002, 1003)
		until := time.Now().Add(5 * time.Hour)
		w.do(func(ctx context.Context) error { return w.b.Ban(ctx, ban(portsnare.BanPrefix(longer), until)) })
		before := w.bans()
		order.Bans = w.savedBans()

		after := newWorld(t, w.variant, w.family)
		after.set(order)
		for source, want := range before {
			if got := after.bans()[source]; got.Sub(want).Abs() > 2*time.Second {
				t.Errorf("%s banned until %s, want %s", source, got, want)
			}
		}
		after.wantBanned(banned, true)
		after.wantBanned(longer, true)
		w.record("State", "reboot", "bans restored")
	})
}

// TestRotation moves the traps while scanners probe and innocents connect: at
// no moment does a trap answer or the hidden port fail.
func TestRotation(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		a, b := w.order(), w.order()
		a.Traps = portsnare.Traps{Secret: w.ports("1001-1009/tcp,3001/tcp,1200/tcp,7001/tcp"), Bait: w.ports("2001/tcp,3002-3004/tcp")}
		b.Traps = portsnare.Traps{Secret: w.ports("2001-2009/tcp,3001/tcp,1200/tcp"), Bait: w.ports("1001/tcp,3002-3004/tcp")}
		b.Protected = b.Protected.Union(w.ports("7001/tcp"))
		b.Generation++
		w.set(a)
		banned, struck := w.source(), w.source()
		w.syn(banned, 1003, 1004, 1005)
		w.syn(struck, 1003, 3001)

		client := w.source()
		ctx, cancel := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		busy.Go(func() { w.keepScanning(ctx) })
		probes := make(chan int, 1)
		busy.Go(func() { probes <- w.keepConnecting(ctx, client) })
		begun := time.Now()
		for n := 0; n < 20 || time.Since(begun) < time.Second; n++ {
			w.set(b)
			w.set(a)
			w.wantSilent(3001, 3004)
		}
		cancel()
		busy.Wait()

		w.wantServed(client, <-probes)
		w.wantSilent(3001, 3004)
		w.wantBanned(banned, true)
		w.syn(struck, 1003, 3001)
		w.wantBanned(struck, false)
		w.syn(struck, 1006)
		w.wantBanned(struck, true)
		if got := len(w.bans()); got != 2 {
			t.Errorf("%d bans, want the 2: %v", got, w.bans())
		}
		w.record("State", "rotations for a second under scan, a connection every 5 ms", "none failed, traps silent, bans kept")
	})
}

// keepConnecting tries the hidden port every 5 ms, from a port of its own each
// time, and returns how often it did.
func (w *world) keepConnecting(ctx context.Context, client netip.Addr) (probes int) {
	s, err := w.Scanner.NewSender()
	if err != nil {
		w.t.Error(err)
		return 0
	}
	defer s.Close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return probes
		case <-tick.C:
		}
		err := s.Send(netlab.Packet{Src: client, SrcPort: uint16(20000 + probes), Dst: w.server, DstPort: hiddenPort, Flags: netlab.SYN})
		if err != nil {
			w.t.Error(err)
		}
		probes++
	}
}

// wantServed fails the test unless each probe of keepConnecting was answered.
func (w *world) wantServed(client netip.Addr, probes int) {
	w.t.Helper()
	served := map[uint16]bool{}
	for _, p := range w.answers(client) {
		if p.SrcPort == hiddenPort && p.Flags == netlab.SYN|netlab.ACK {
			served[p.DstPort] = true
		}
	}
	if len(served) != probes || probes < 40 {
		w.t.Errorf("%d of %d connections served, want all of at least 40", len(served), probes)
	}
}

// wantSilent fails the test if one of these ports ever answered anybody.
func (w *world) wantSilent(from, to uint16) {
	w.t.Helper()
	answers, err := w.wire.Packets(func(p netlab.Packet) bool { return !p.Outgoing && from <= p.SrcPort && p.SrcPort <= to })
	w.check(err)
	if len(answers) > 0 {
		w.t.Errorf("traps answered %d times, first: %s", len(answers), answers[0])
	}
}

// keepScanning has each of many sources hit one trap, and each of many others
// three baits, until ctx ends. All of these are traps in both orders.
func (w *world) keepScanning(ctx context.Context) {
	s, err := w.Scanner.NewSender()
	if err != nil {
		w.t.Error(err)
		return
	}
	defer s.Close()
	send := func(from netip.Addr, port uint16, flags netlab.Flags) {
		if err := s.Send(netlab.Packet{Src: from, SrcPort: 40000, Dst: w.server, DstPort: port, Flags: flags}); err != nil {
			w.t.Error(err)
		}
	}
	var crowd [100]netip.Addr
	for i := range crowd {
		crowd[i] = w.source()
	}
	for n := 0; ctx.Err() == nil; n++ {
		one, three := crowd[n%50], crowd[50+n%50]
		send(one, 3001, netlab.SYN)
		send(one, 3001, netlab.ACK)
		for port := uint16(3002); port <= 3004; port++ {
			send(three, port, netlab.SYN)
			send(three, port, netlab.FIN|netlab.ACK)
		}
		if n%4 == 0 {
			time.Sleep(time.Millisecond) // leaves the processors to the rotations
		}
	}
}

// TestLookBeforeARotation: a ban that somebody took out comes back with the next
// order, even if somebody has looked in between.
func TestLookBeforeARotation(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		source := w.source()
		order := w.order()
		order.Bans = []portsnare.Ban{{Source: portsnare.BanPrefix(source), Until: time.Now().Add(time.Hour)}}
		w.set(order)
		if isNFTables(w.variant) {
			w.output("nft", "flush", "set", "inet", "portsnare", "ban"+w.digit)
			w.wantBanned(source, false)
			order.Traps.Secret = order.Traps.Secret.Union(w.ports("4001-4009/tcp"))
		} else {
			w.output("ipset", "flush", "portsnare_ban"+w.digit) // of which the kernel tells nobody
			w.wantBanned(source, false)
		}
		w.set(order)
		w.wantBanned(source, true)
	})
}
