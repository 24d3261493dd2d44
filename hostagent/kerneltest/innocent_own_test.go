package kerneltest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// TestFTP is active mode: the server of a file connects from its port 20 to
// where the client listens, which happens to be a trap. Behind a cloud firewall
// that never worked and is no hit; without one it works. Our own connections from
// traps work with and without.
func TestFTP(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		for port := uint16(1001); port <= 1004; port++ {
			w.serve(w.Server, netip.AddrPortFrom(w.server, port))
		}
		for _, cloud := range []bool{true, false} {
			order := w.order()
			order.CloudFirewall = cloud
			w.set(order)
			peer := w.source()
			for port := uint16(1001); port <= 1004; port++ {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				c, err := w.dialTo(ctx, netip.AddrPortFrom(peer, 20), port)
				cancel()
				if (err == nil) == cloud {
					t.Errorf("data connection to %d, cloud firewall %t: %v", port, cloud, err)
				}
				if err == nil {
					w.talk(c)
					c.Close()
				}
			}
			for _, peer := range []netip.Addr{peer, ownConnections(w)} {
				w.wantBanned(peer, false)
				if got := w.hits(peer); len(got) > 0 {
					t.Errorf("hits of %s, want none: %v", peer, got)
				}
			}
		}
		w.record("Innocents", "FTP in active mode, from port 20 to traps", "not banned, served")
	})
}

// TestFormerlyProtected: a port on which there were conversations a minute ago
// is a trap now, and its users come back.
func TestFormerlyProtected(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		order.Protected = order.Protected.Union(w.ports("7001/tcp"))
		w.set(order)
		w.serve(w.Server, netip.AddrPortFrom(w.server, 7001))
		client := w.source()
		old := w.dial(client, 7001)
		w.talk(old)
		order = w.order()
		order.Generation++
		order.Traps.Secret = order.Traps.Secret.Union(w.ports("7001/tcp"))
		w.set(order)
		for range 20 {
			w.syn(client, 7001)
		}
		w.wantBanned(client, false)
		w.talk(old)
		w.record("Innocents", "a client whose port was protected a minute ago", "not banned, served")
	})
}

// dialTo connects from an address and port of the scanner's.
func (w *world) dialTo(ctx context.Context, from netip.AddrPort, port uint16) (c net.Conn, err error) {
	err = w.Scanner.Do(func() error {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from), Control: reuse}
		c, err = d.DialContext(ctx, "tcp", netip.AddrPortFrom(w.server, port).String())
		return err
	})
	return c, err
}

// reuse lets a port be bound while an earlier connection of it is not forgotten.
func reuse(_, _ string, c syscall.RawConn) (err error) {
	failed := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	})
	return errors.Join(failed, err)
}

// TestSimultaneousOpen has both ends send a SYN, which for us is one to a trap.
func TestSimultaneousOpen(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		peer := netip.AddrPortFrom(w.source(), 8080)
		// His kernel must not answer ours before his SYN comes.
		w.check(w.Cloud.Blackhole(netip.PrefixFrom(peer.Addr(), peer.Addr().BitLen())))
		w.set(w.order())
		wire := netlab.New(t).Capture(w.Server, netlab.Eth0)
		left := func(flags netlab.Flags) func(netlab.Packet) bool {
			return func(p netlab.Packet) bool {
				return p.Outgoing && p.Dst == peer.Addr() && p.SrcPort == 1001 && p.Flags == flags
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var dialling sync.WaitGroup
		dialling.Go(func() { w.dialFrom(ctx, 1001, peer) })
		defer func() { cancel(); dialling.Wait() }()
		w.check(wire.Wait(w.soon(), 1, left(netlab.SYN)))
		w.send(netlab.Packet{Src: peer.Addr(), SrcPort: peer.Port(), DstPort: 1001, Flags: netlab.SYN})
		w.check(wire.Wait(w.soon(), 1, left(netlab.SYN|netlab.ACK)))
		if got := w.hits(peer.Addr()); len(got) > 0 {
			t.Errorf("hits, want none: %v", got)
		}
		w.record("Innocents", "simultaneous open from a trap port", "no hit")
	})
}

// TestOldConnections: a connection of ours from what becomes a trap lives on,
// whoever speaks first, although tracking has never seen its beginning.
func TestOldConnections(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		peer := netip.AddrPortFrom(w.source(), 8080)
		l, err := w.Scanner.Listen("tcp", peer.String())
		w.check(err)
		defer l.Close()
		ours, err := w.dialFrom(w.soon(), 1001, peer)
		w.check(err)
		defer ours.Close()
		theirs, err := l.Accept()
		w.check(err)
		defer theirs.Close()
		deadline := time.Now().Add(10 * time.Second)
		w.check(ours.SetDeadline(deadline))
		w.check(theirs.SetDeadline(deadline))
		order := w.order()
		for _, order.CloudFirewall = range []bool{true, false} {
			w.set(order)
			for _, say := range []struct{ from, to net.Conn }{{theirs, ours}, {ours, theirs}} {
				_, err = say.from.Write([]byte("x"))
				w.check(err)
				_, err = say.to.Read(make([]byte, 1))
				w.check(err)
			}
		}
		if got := w.hits(peer.Addr()); len(got) > 0 {
			t.Errorf("hits, want none: %v", got)
		}
		w.record("Innocents", "an old connection of ours from what becomes a trap", "lives on, no hit")
	})
}
