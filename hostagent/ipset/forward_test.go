package ipset

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

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
	if got := w.output("ipset", "save", familyOf(w.server).slot(1)); strings.Contains(got, "add ") {
		w.t.Errorf("strikes, want none:\n%s", got)
	}
}

// TestForwarded: what the host only forwards is none of our business, nor is a
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
	w.check(w.Server.Forward())
	peer := netip.AddrPortFrom(w.source(50), 8080)
	w.peer(w.Scanner, peer)
	w.output("iptables", "-t", "nat", "-A", "POSTROUTING", "-p", "tcp", "-d", peer.Addr().String(),
		"-j", "MASQUERADE", "--to-ports", "1001")
	w.set(w.order("1001-1009/tcp", ""))

	source := w.source(2)
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
