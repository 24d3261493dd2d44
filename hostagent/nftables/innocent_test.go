package nftables

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// peer listens somewhere and sends back what it gets.
func (w *world) peer(where *netlab.Namespace, at netip.AddrPort) {
	w.t.Helper()
	l, err := where.Listen("tcp", at.String())
	w.check(err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.t.Cleanup(func() { c.Close() })
			serving.Go(func() { io.Copy(c, c); c.Close() })
		}
	})
	w.t.Cleanup(serving.Wait)
	w.t.Cleanup(func() { l.Close() })
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

// echo proves that a connection works both ways.
func (w *world) echo(c net.Conn) {
	w.t.Helper()
	const text = "still here"
	w.check(c.SetDeadline(time.Now().Add(10 * time.Second)))
	_, err := io.WriteString(c, text)
	w.check(err)
	buf := make([]byte, len(text))
	_, err = io.ReadFull(c, buf)
	w.check(err)
}

// noStrikes fails the test if anybody has a strike.
func (w *world) noStrikes() {
	w.t.Helper()
	if n := w.struck(1); n > 0 {
		w.t.Errorf("%d sources have a strike, want none", n)
	}
}

// TestOwnConnection: a connection of ours from what is a trap, or becomes one,
// survives, and its peer is innocent, also of late FINs.
func TestOwnConnection(t *testing.T) {
	for _, cloud := range []bool{true, false} {
		name := map[bool]string{true: "cloud", false: "no-cloud"}[cloud]
		t.Run(name, func(t *testing.T) {
			inWorlds(t, func(t *testing.T, w *world) { testOwnConnection(t, w, cloud) })
		})
	}
}

func testOwnConnection(t *testing.T, w *world, cloud bool) {
	peer := netip.AddrPortFrom(w.source(50), 8080)
	w.peer(w.Scanner, peer)
	old, err := w.dialFrom(w.soon(), 1001, peer) // before anything is tracked
	w.check(err)
	defer old.Close()
	order := w.order("1001-1009/tcp", "")
	order.CloudFirewall = cloud
	w.set(order)

	w.echo(old)
	for port := uint16(1002); port <= 1006; port++ {
		c, err := w.dialFrom(w.soon(), port, peer)
		w.check(err)
		w.echo(c)
		w.check(c.(*net.TCPConn).SetLinger(0))
		w.check(c.Close())
		for _, late := range []netlab.Flags{netlab.FIN | netlab.ACK, netlab.ACK, netlab.RST} {
			w.send(netlab.Packet{Src: peer.Addr(), SrcPort: peer.Port(), DstPort: port, Flags: late, Seq: 1, Ack: 1})
		}
	}
	w.set(w.order("1001-1009/tcp,2001/tcp", ""))
	w.echo(old)
	w.noStrikes()
	w.wantBanned(peer.Addr(), false)
}

// TestUntrackedPeerSpeaksFirst: the tracking of connections begins with us, and
// the first packet that it sees of an old connection comes from the peer.
func TestUntrackedPeerSpeaksFirst(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		peer := netip.AddrPortFrom(w.source(50), 8080)
		l, err := w.Scanner.Listen("tcp", peer.String())
		w.check(err)
		defer l.Close()
		ours, err := w.dialFrom(w.soon(), 1001, peer)
		w.check(err)
		defer ours.Close()
		theirs, err := l.Accept()
		w.check(err)
		defer theirs.Close()
		w.set(w.order("1001-1009/tcp", ""))
		w.check(ours.SetDeadline(time.Now().Add(10 * time.Second)))
		_, err = io.WriteString(theirs, "x")
		w.check(err)
		_, err = io.ReadFull(ours, make([]byte, 1))
		w.check(err)
		w.noStrikes()
	})
}

// TestBanSparesOldConnections: who is already served stays so, in case that his
// address was forged.
func TestBanSparesOldConnections(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		source, service := w.source(2), netip.AddrPortFrom(w.server, 443)
		w.peer(w.Server, service)
		w.set(w.order("1001-1009/tcp", ""))
		c, err := w.Scanner.Dial(w.soon(), "tcp", source.String(), service.String())
		w.check(err)
		defer c.Close()
		w.echo(c)
		w.syn(source, 1001, 1002, 1003)
		w.wantBanned(source, true)
		w.echo(c)
	})
}

// TestSimultaneousOpen: both ends send a SYN, which for us is one to a trap.
func TestSimultaneousOpen(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		peer := netip.AddrPortFrom(w.source(50), 8080)
		w.check(w.Cloud.Blackhole(netip.PrefixFrom(peer.Addr(), peer.Addr().BitLen())))
		w.set(w.order("1001-1009/tcp", ""))
		wire := netlab.New(t).Capture(w.Server, netlab.Eth0)
		left := func(flags netlab.Flags) func(netlab.Packet) bool {
			return func(p netlab.Packet) bool {
				return p.Outgoing && p.Dst == peer.Addr() && p.SrcPort == 1001 && p.Flags == flags
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.dialFrom(ctx, 1001, peer) }()
		defer func() { cancel(); <-done }()

		w.check(wire.Wait(w.soon(), 1, left(netlab.SYN)))
		w.send(netlab.Packet{Src: peer.Addr(), SrcPort: peer.Port(), DstPort: 1001, Flags: netlab.SYN})
		w.check(wire.Wait(w.soon(), 1, left(netlab.SYN|netlab.ACK)))
		w.noStrikes()
	})
}

// TestLoopback: what the host says to itself is its own affair, even if somebody
// had its address banned.
func TestLoopback(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.friendly()
		order.Alarm = true
		order.Bans = []portsnare.Ban{{Source: portsnare.BanPrefix(w.server), Until: time.Now().Add(time.Hour)}}
		w.set(order)
		for _, port := range []uint16{webPort, hiddenPort} {
			c, err := w.Server.Dial(w.soon(), "tcp", w.server.String(), netip.AddrPortFrom(w.server, port).String())
			w.check(err)
			w.echo(c)
			w.check(c.Close())
		}
	})
}

// TestForwarded: what the host only forwards is none of our business, even from
// a banned source, nor is a
// flow whose source it translates to a trap port.
func TestForwarded(t *testing.T) {
	w := newWorld(t, ipv4, Options{})
	inner := netlab.New(t).Namespace("inner")
	gateway, guest := netip.MustParsePrefix("192.0.2.129/25"), netip.MustParsePrefix("192.0.2.130/25")
	w.check(netlab.Link(w.Server, "guests", inner, netlab.Eth0))
	w.check(w.Server.Addr("guests", gateway))
	w.check(inner.Addr(netlab.Eth0, guest))
	w.check(inner.DefaultRoute(gateway.Addr(), guest.Addr()))
	w.check(w.Cloud.Route(guest.Masked(), w.server))
	peer := netip.AddrPortFrom(w.source(50), 8080)
	w.peer(w.Scanner, peer)
	w.output("iptables", "-t", "nat", "-A", "POSTROUTING", "-p", "tcp", "-d", peer.Addr().String(),
		"-j", "MASQUERADE", "--to-ports", "1001")
	order := w.order("1001-1009/tcp", "")
	source := w.source(2)
	order.Bans = []portsnare.Ban{{Source: portsnare.BanPrefix(source), Until: time.Now().Add(time.Hour)}}
	if _, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables"); err == nil {
		w.check(w.Server.Sysctl("net.bridge.bridge-nf-call-iptables", "0"))
	}
	w.set(order)
	w.check(w.Server.Forward())
	if !w.set(order) {
		t.Error("that the host routes now changed nothing")
	}

	for port := uint16(1001); port <= 1004; port++ {
		w.check(w.Scanner.Send(netlab.Packet{Src: source, SrcPort: 30000, Dst: guest.Addr(), DstPort: port, Flags: netlab.SYN}))
	}
	err := w.wire.Wait(w.soon(), 4, func(p netlab.Packet) bool {
		return !p.Outgoing && p.Src == guest.Addr() && p.Flags == netlab.RST|netlab.ACK
	})
	w.check(err)
	w.noStrikes()

	c, err := inner.Dial(w.soon(), "tcp", guest.Addr().String(), peer.String())
	w.check(err)
	defer c.Close()
	w.echo(c)
	w.noStrikes()
}
