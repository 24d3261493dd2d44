package kerneltest

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// innocent is somebody who looks a little like a scanner. His test returns the
// source that must not be banned and must be served afterwards.
type innocent struct {
	name  string
	hits  int // that the kernel counts; what it does not even count is 0
	visit func(w *world) netip.Addr
}

var innocents = []innocent{
	{"a browser that retries one wrong port for ten minutes", 1, browser},
	{"a client with 30 connections at a time", 0, manyConnections},
	{"late FIN, RST and ACK after the server closed", 0, lateSegments},
	{"50 users behind one address, one on a bait port", 1, crowd},
	{"a peer of ours, whom we reach from trap ports", 0, ownConnections},
	{"replies of a DNS resolver to trap ports", 0, resolver},
	{"replies of an NTP server to port 123, a trap", 0, timeServer},
	{"a router that sends ICMP errors", 0, router},
	{"UDP to ten traps", 10, udp},
	{"ten bait ports", 9, baits},
	{"two traps, K-1", 2, twoTraps},
}

func TestInnocents(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.set(w.order())
		for _, i := range innocents {
			w.run(t, i.name, i.test)
		}
	})
}

func (i innocent) test(w *world) {
	source := i.visit(w)
	w.wantBanned(source, false)
	if got := w.hits(source); len(got) != i.hits {
		w.t.Errorf("%d hits, want %d: %v", len(got), i.hits, got)
	}
	w.record("Innocents", i.name, "not banned, served")
}

// browser tries in vain with a kernel that repeats its SYN after a second, and
// then again and again, ten minutes in a moment.
func browser(w *world) netip.Addr {
	from := w.source()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	var attempts sync.WaitGroup
	for range 3 {
		attempts.Go(func() { w.Scanner.Dial(ctx, "tcp", from.String(), netip.AddrPortFrom(w.server, 1001).String()) })
	}
	w.check(w.wire.Wait(w.soon(), 6, func(p netlab.Packet) bool {
		return p.Outgoing && p.Src == from && p.Flags == netlab.SYN
	}))
	cancel()
	attempts.Wait()
	for range 600 {
		w.syn(from, 1001)
	}
	return from
}

func manyConnections(w *world) netip.Addr {
	from := w.source()
	connections := make([]net.Conn, 30)
	for i := range connections {
		connections[i] = w.dial(from, hiddenPort)
	}
	for _, c := range connections {
		w.talk(c)
	}
	return from
}

// late are segments that come when nobody remembers the connection any more.
var late = []netlab.Flags{netlab.FIN | netlab.ACK, netlab.ACK, netlab.RST, netlab.RST | netlab.ACK, netlab.PSH | netlab.ACK}

// lateSegments come to the port of the conversation and to ports that have
// become traps since then.
func lateSegments(w *world) netip.Addr {
	from := w.source()
	c := w.dial(from, hiddenPort)
	w.talk(c)
	own := c.LocalAddr().(*net.TCPAddr).AddrPort().Port()
	w.check(c.Close())
	for _, port := range []uint16{hiddenPort, 1001, 1002, 1003, 1004, 1005} {
		for _, flags := range late {
			w.send(netlab.Packet{Src: from, SrcPort: own, DstPort: port, Flags: flags, Seq: 1, Ack: 1})
			w.send(netlab.Packet{Src: from, DstPort: port, Flags: flags, Seq: 1, Ack: 1})
		}
	}
	return from
}

func crowd(w *world) netip.Addr {
	from := w.source()
	var users sync.WaitGroup
	for user := range 50 {
		users.Go(func() {
			c, err := w.Scanner.Dial(w.t.Context(), "tcp", from.String(), netip.AddrPortFrom(w.server, publicPort).String())
			if err != nil {
				w.t.Errorf("user %d: %v", user, err)
				return
			}
			c.Close()
		})
	}
	for range 20 {
		w.syn(from, 2001)
	}
	users.Wait()
	return from
}

// dialFrom connects from a port of the server's to a peer.
func (w *world) dialFrom(ctx context.Context, port uint16, peer netip.AddrPort) (c net.Conn, err error) {
	local := net.TCPAddrFromAddrPort(netip.AddrPortFrom(w.server, port))
	err = w.Server.Do(func() error {
		c, err = (&net.Dialer{LocalAddr: local}).DialContext(ctx, "tcp", peer.String())
		return err
	})
	return c, err
}

// ownConnections end, and their last segments come again.
func ownConnections(w *world) netip.Addr {
	peer := netip.AddrPortFrom(w.source(), 8080)
	w.serve(w.Scanner, peer)
	for port := uint16(1011); port <= 1016; port++ {
		c, err := w.dialFrom(w.soon(), port, peer)
		w.check(err)
		w.talk(c)
		w.check(c.(*net.TCPConn).SetLinger(0)) // RST, and nobody remembers
		w.check(c.Close())
		for _, flags := range late {
			w.send(netlab.Packet{Src: peer.Addr(), SrcPort: peer.Port(), DstPort: port, Flags: flags, Seq: 1, Ack: 1})
		}
	}
	return peer.Addr()
}

func resolver(w *world) netip.Addr {
	return w.ask(53, 1021, 1022, 1023, 1024, 1025, 1026)
}

func timeServer(w *world) netip.Addr { return w.ask(123, 123) }

// ask has a peer asked from each of some ports of the server's. He answers at
// once, and again when nobody waits for it any more.
func (w *world) ask(port uint16, from ...uint16) netip.Addr {
	w.t.Helper()
	peer := netip.AddrPortFrom(w.source(), port)
	theirs, err := w.Scanner.ListenPacket("udp", peer.String())
	w.check(err)
	defer theirs.Close()
	w.check(theirs.SetDeadline(time.Now().Add(10 * time.Second)))
	for _, port := range from {
		ours, err := w.Server.ListenPacket("udp", netip.AddrPortFrom(w.server, port).String())
		w.check(err)
		w.check(ours.SetDeadline(time.Now().Add(10 * time.Second)))
		_, err = ours.WriteTo([]byte("query"), net.UDPAddrFromAddrPort(peer))
		w.check(err)
		buf := make([]byte, 16)
		_, asker, err := theirs.ReadFrom(buf)
		w.check(err)
		_, err = theirs.WriteTo([]byte("reply"), asker)
		w.check(err)
		_, _, err = ours.ReadFrom(buf)
		w.check(err)
		w.check(ours.Close())
		_, err = theirs.WriteTo([]byte("reply"), asker)
		w.check(err)
	}
	return peer.Addr()
}

// router answers what it cannot forward, true or not.
func router(w *world) netip.Addr {
	from := w.source()
	proto, unreachable := netlab.ICMP, uint8(3)
	if from.Is6() {
		proto, unreachable = netlab.ICMPv6, 1
	}
	for port := uint16(1031); port <= 1036; port++ {
		w.send(netlab.Packet{Proto: proto, Src: from, Type: unreachable, Payload: w.quote(from, port)})
	}
	return from
}

// quote is what an ICMP error says of a SYN of ours: its headers.
func (w *world) quote(to netip.Addr, from uint16) []byte {
	b := make([]byte, 4, 64)
	if to.Is4() {
		b = append(b, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, byte(netlab.TCP), 0, 0)
	} else {
		b = append(b, 0x60, 0, 0, 0, 0, 20, byte(netlab.TCP), 64)
	}
	b = append(append(b, w.server.AsSlice()...), to.AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, from)
	return append(b, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 5<<4, byte(netlab.SYN), 0xff, 0xff, 0, 0, 0, 0)
}

// udp is easily forged, so it arms and never fires.
func udp(w *world) netip.Addr {
	from := w.source()
	for port := uint16(1041); port <= 1050; port++ {
		w.send(netlab.Packet{Proto: netlab.UDP, Src: from, DstPort: port, Payload: []byte("x")})
	}
	return from
}

// baits are known to the world, so they arm and never fire.
func baits(w *world) netip.Addr {
	from := w.source()
	w.syn(from, netlab.Ascending(2001, 2009)...)
	return from
}

func twoTraps(w *world) netip.Addr {
	from := w.source()
	w.syn(from, 1001, 1002)
	return from
}
