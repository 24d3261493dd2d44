package ipset

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// TestSwap rotates traps while a scanner probes what is a trap, or a bait, in
// both sets, and a client connects. Hits, strikes and bans live on.
func TestSwap(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		a := w.order("1001-1009/tcp,3001/tcp,7001/tcp", "3002-3004/tcp,2001/tcp")
		b := w.order("2001-2009/tcp,3001/tcp", "3002-3004/tcp,1001/tcp")
		b.Protected = portSet(t, "22/tcp,7001/tcp")
		w.set(a)
		banned, struck := w.source(2), w.source(3)
		w.syn(banned, 1003, 1004, 1005)
		w.syn(struck, 1003, 3001)

		ctx, cancel := context.WithCancel(t.Context())
		var probers sync.WaitGroup
		probers.Go(func() { w.keepConnecting(ctx) })
		probers.Go(func() { w.keepProbing(ctx) })
		for range 25 {
			w.set(b)
			w.set(a)
		}
		cancel()
		probers.Wait()

		for port := uint16(3001); port <= 3004; port++ {
			answers, err := w.wire.Packets(func(p netlab.Packet) bool { return !p.Outgoing && p.SrcPort == port })
			if err != nil || len(answers) > 0 {
				t.Errorf("trap %d answered: %v, %v", port, answers, err)
			}
		}
		if bans := w.bans(); len(bans) != 1 {
			t.Errorf("bans %v, want one", bans)
		}
		w.wantBanned(banned, true)
		w.syn(struck, 1003, 3001)
		w.wantBanned(struck, false)
		w.syn(struck, 1006)
		w.wantBanned(struck, true)
	})
}

// keepConnecting connects to the protected port until ctx ends. No SYN may be
// lost, or the connection takes a second.
func (w *world) keepConnecting(ctx context.Context) {
	client := w.source(4)
	n := 0
	for ; ctx.Err() == nil; n++ {
		start := time.Now()
		if err := w.dial(context.WithoutCancel(ctx), client, protectedPort); err != nil {
			w.t.Errorf("connection %d: %v", n, err)
			return
		}
		if took := time.Since(start); took > 900*time.Millisecond {
			w.t.Errorf("connection %d took %s", n, took)
		}
		time.Sleep(5 * time.Millisecond) // leaves room on the wire's record
	}
	if n < 50 {
		w.t.Errorf("only %d connections during 50 swaps", n)
	}
}

// keepProbing has each of many sources hit one trap, and each of many others
// the three baits, until ctx ends.
func (w *world) keepProbing(ctx context.Context) {
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
	for n := 0; ctx.Err() == nil; n++ {
		one, three := w.source(10+n%100), w.source(120+n%100)
		send(one, 3001, netlab.SYN)
		send(one, 3001, netlab.ACK)
		for port := uint16(3002); port <= 3004; port++ {
			send(three, port, netlab.SYN)
			send(three, port, netlab.FIN|netlab.ACK)
		}
		time.Sleep(time.Millisecond) // leaves the processors to the swaps
	}
}

// ports is a choice of n ports, of which no two are neighbours.
func ports(n, from int) portsnare.PortSet {
	var all []portsnare.Port
	for i := range n {
		all = append(all, portsnare.Port{Protocol: portsnare.TCP, Number: uint16(1024 + from + i*64000/n)})
	}
	return portsnare.PortSetOf(all...)
}

// BenchmarkRotate replaces traps, from order to armed. The goal for 1,000 is 3 ms.
func BenchmarkRotate(b *testing.B) {
	for _, variant := range []string{"-nft", "-legacy"} {
		for _, traps := range []int{1000, 10_000} {
			b.Run(fmt.Sprintf("%d%s", traps, variant), func(b *testing.B) {
				w := newWorld(b, ipv4, Options{variant: variant})
				orders := [2]portsnare.Order{w.order("", ""), w.order("", "")}
				for i := range orders {
					orders[i].Traps.Secret = ports(traps, 3*i)
					w.set(orders[i])
				}
				w.set(orders[1]) // looks at everything
				w.do(func(ctx context.Context) error {
					for n := 0; b.Loop(); n++ {
						if _, err := w.b.Set(ctx, orders[n%2]); err != nil {
							return err
						}
					}
					return nil
				})
			})
		}
	}
}

// BenchmarkUnchanged looks at everything and finds it in order, as an agent does
// every few seconds.
func BenchmarkUnchanged(b *testing.B) {
	w := newWorld(b, ipv4, Options{})
	order := w.order("", "")
	order.Traps.Secret = ports(1000, 0)
	w.set(order)
	w.do(func(ctx context.Context) error {
		for b.Loop() {
			if _, err := w.b.Set(ctx, order); err != nil {
				return err
			}
		}
		return nil
	})
}
