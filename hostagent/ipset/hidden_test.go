package ipset

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

func portString(port uint16) string { return strconv.Itoa(int(port)) }

// paced sends SYNs from one port of a source's, each some time after the one
// before, and returns how many were answered. Where this machine was too slow to
// keep the times it tries again, from another port.
func (w *world) paced(from netip.Addr, port uint16, gaps ...time.Duration) int {
	w.t.Helper()
	for range 20 {
		srcPort := uint16(w.srcPort.Add(1))
		ours := func(p netlab.Packet) bool {
			return p.Src == from && p.SrcPort == srcPort || p.Dst == from && p.DstPort == srcPort
		}
		for _, gap := range append([]time.Duration{0}, gaps...) {
			time.Sleep(gap) // time itself is what is tested
			w.send(netlab.Packet{Src: from, SrcPort: srcPort, DstPort: port, Flags: netlab.SYN, OfferSACK: true})
		}
		w.check(w.Fence(w.soon(), w.scanner))
		seen, err := w.wire.Packets(ours)
		w.check(err)
		if answers, ok := judge(seen, gaps); ok {
			return answers
		}
	}
	w.t.Fatal("this machine cannot keep time")
	return 0
}

// judge counts answers; ok is false unless the rest was sent at its times.
func judge(seen []netlab.Packet, gaps []time.Duration) (answers int, ok bool) {
	var sent []time.Time
	for _, p := range seen {
		if p.Outgoing {
			sent = append(sent, p.Time)
		} else if p.Flags == netlab.SYN|netlab.ACK {
			answers++
		}
	}
	for i, gap := range gaps {
		if late := sent[i+1].Sub(sent[i]) - gap; late < -20*time.Millisecond || late > 100*time.Millisecond {
			return 0, false
		}
	}
	return answers, true
}

// TestDelayRefuses duplicates that come sooner than a retransmit, what comes from
// another port, and whoever has met a trap meanwhile.
func TestDelayRefuses(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name string
		gaps []time.Duration
		want int
	}{
		{"duplicates", []time.Duration{0, 0, 0}, 0},
		{"duplicates in a row", []time.Duration{300 * ms, 500 * ms, 500 * ms}, 0},
		{"a retransmit", []time.Duration{1000 * ms}, 1},
		{"a retransmit after duplicates", []time.Duration{400 * ms, 400 * ms, 1000 * ms}, 1},
	}
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.serve()
		order.Policy.Delay = true
		order.Policy.Strikes = 1
		w.set(order)
		for i, test := range tests {
			if got := w.paced(w.source(10+i), 22, test.gaps...); got != test.want {
				t.Errorf("%s: %d answers, want %d", test.name, got, test.want)
			}
		}

		scanner, struck := w.source(2), w.source(3)
		one := func(port, srcPort uint16, from netip.Addr) {
			w.send(netlab.Packet{Src: from, SrcPort: srcPort, DstPort: port, Flags: netlab.SYN, OfferSACK: true})
		}
		one(22, 5001, scanner)
		one(servicePort, 5001, scanner) // as nmap -g
		one(22, 5001, struck)
		one(2001, 5001, struck) // a bait
		time.Sleep(1100 * ms)   // time itself is what is tested
		one(22, 5002, scanner)  // as nmap, from the next port
		one(22, 5001, struck)
		w.silent(scanner)
		w.silent(struck)
	})
}

// TestDelayOfFlood: more SYNs than can be looked at pass, or a flood of forged
// sources would shut everybody out.
func TestDelayOfFlood(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.order("1001-1009/tcp", "")
		order.Policy.Delay = true
		w.set(order)
		s, err := w.Scanner.NewSender()
		w.check(err)
		defer s.Close()
		start := time.Now()
		const sent = 20_000
		for n := range uint16(sent) {
			w.check(s.Send(netlab.Packet{Src: w.source(2), SrcPort: 10_000 + n, Dst: w.server, DstPort: 22, Flags: netlab.SYN, OfferSACK: true}))
		}
		answered := len(w.answers(w.source(2), 22))
		delayed := 1000 + int(1000*time.Since(start).Seconds())
		if least := sent - delayed; answered < least*9/10 || answered > sent-1000 {
			t.Errorf("%d of %d answered, want about %d", answered, sent, least)
		}
	})
}

// TestLostTracking: a conversation goes on although tracking has lost it,
// whoever speaks first, on a hidden port.
func TestLostTracking(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.set(w.serve())
		c := w.connect(w.source(2), servicePort)
		defer c.Close()
		for range 3 {
			w.check(w.Server.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) }))
			w.echo(c)
		}
	})
}

// TestSYNCookies: a handshake of which the server keeps nothing.
func TestSYNCookies(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.check(w.Server.Sysctl("net.ipv4.tcp_syncookies", "2"))
		w.set(w.serve())
		w.talk(w.source(2), servicePort)
		w.wantFriend(w.source(2), servicePort, portsnare.FriendTime)
	})
}
