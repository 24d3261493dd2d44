package nftables

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// TestImpatientClient: a browser that tries one wrong port again and again, from
// a new port each time and with its kernel's repetitions.
func TestImpatientClient(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.order("1001-1009/tcp", "")
		order.Policy.Strikes = 2
		w.set(order)
		source := w.source(2)
		for range 100 { // every six seconds for ten minutes
			p := netlab.Packet{Src: source, SrcPort: uint16(w.srcPort.Add(1)), DstPort: 1001, Flags: netlab.SYN}
			for range 4 {
				w.send(p)
			}
		}
		w.wantBanned(source, false)
	})
}

// TestParallelClient has thirty conversations at once.
func TestParallelClient(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.friendly()
		order.Policy.Strikes = 1
		w.set(order)
		var clients sync.WaitGroup
		for range 30 {
			clients.Go(func() { w.converse(w.source(2), webPort, 3) })
		}
		clients.Wait()
		w.noStrikes()
		w.wantBanned(w.source(2), false)
	})
}

// TestCrowdBehindOneAddress: one of fifty users runs into a bait, and into it
// again; the others are served.
func TestCrowdBehindOneAddress(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.friendly()
		order.Traps.Bait = portSet(t, "2001-2009/tcp")
		w.set(order)
		address := w.source(2)
		for user := range 50 {
			if user%10 == 0 {
				w.syn(address, 2001, 2001, 2002, 2003)
			}
			w.wantOpen(address, webPort, true)
			w.wantOpen(address, hiddenPort, true)
		}
		w.wantBanned(address, false)
	})
}

// TestActiveFTP: a server connects back to ports on which our client listens,
// one after the other. Without a cloud firewall in front that works.
func TestActiveFTP(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.order("1001-1009/tcp", "")
		for _, cloud := range []bool{true, false} {
			order.CloudFirewall = cloud
			w.set(order)
			for port := uint16(1001); port <= 1005; port++ {
				l, err := w.Server.Listen("tcp", netip.AddrPortFrom(wildcard(w.server), port).String())
				w.check(err)
				w.syn(w.source(2), port)
				if got := len(w.accepted(w.source(2), port)) > 0; got == cloud {
					t.Errorf("port %d answered: %t, want %t", port, got, !cloud)
				}
				w.check(l.Close())
			}
			w.noStrikes()
			w.wantBanned(w.source(2), false)
		}
	})
}

// TestReplies: whom we asked may answer, from whatever port of ours we asked,
// even if that is a trap; a late answer is no ban.
func TestReplies(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.set(w.order("1001-1009/tcp,1001-1009/udp", ""))
		resolver := netip.AddrPortFrom(w.source(50), 53)
		theirs, err := w.Scanner.ListenPacket("udp", resolver.String())
		w.check(err)
		defer theirs.Close()
		for port := uint16(1001); port <= 1005; port++ {
			ours, err := w.Server.ListenPacket("udp", netip.AddrPortFrom(w.server, port).String())
			w.check(err)
			_, err = ours.WriteTo([]byte("?"), net.UDPAddrFromAddrPort(resolver))
			w.check(err)
			buf := make([]byte, 1)
			_, asker, err := theirs.ReadFrom(buf)
			w.check(err)
			_, err = theirs.WriteTo([]byte("!"), asker)
			w.check(err)
			_, _, err = ours.ReadFrom(buf)
			w.check(err)
			w.check(ours.Close())
		}
		w.noStrikes()
		for port := uint16(1006); port <= 1009; port++ { // to questions that nobody remembers
			w.send(netlab.Packet{Proto: netlab.UDP, Src: resolver.Addr(), SrcPort: 53, DstPort: port, Payload: []byte("!")})
		}
		w.wantBanned(resolver.Addr(), false)
	})
}

// TestLateSegments: after a conversation on a protected port, and one of ours,
// whatever comes late is no hit.
func TestLateSegments(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.friendly()
		order.Policy.Strikes = 1
		w.set(order)
		client := w.source(2)
		for range 5 {
			c, err := w.Scanner.Dial(w.soon(), "tcp", client.String(), netip.AddrPortFrom(w.server, webPort).String())
			w.check(err)
			w.echo(c)
			from := c.LocalAddr().(*net.TCPAddr).AddrPort()
			w.check(c.Close())
			for _, flags := range strays {
				for _, port := range []uint16{webPort, 1001} {
					w.send(netlab.Packet{Src: client, SrcPort: from.Port(), DstPort: port, Flags: flags, Seq: 1, Ack: 1})
				}
			}
		}
		w.noStrikes()
		w.wantBanned(client, false)
	})
}

// TestICMPErrors: they are about our packets, and none of our business.
func TestICMPErrors(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.order("1001-1009/tcp", "")
		order.Policy.Strikes = 1
		w.set(order)
		_, err := w.dialFrom(w.soon(), 1001, netip.AddrPortFrom(w.source(50), 8080)) // refused
		if err == nil {
			t.Fatal("connected to where nobody listens")
		}
		proto, unreachable := netlab.ICMP, uint8(3)
		if w.server.Is6() {
			proto, unreachable = netlab.ICMPv6, 1
		}
		for range 5 {
			w.check(w.Scanner.Send(netlab.Packet{
				Proto: proto, Src: w.source(50), Dst: w.server, Type: unreachable, Payload: make([]byte, 48),
			}))
		}
		w.noStrikes()
		w.wantBanned(w.source(50), false)
	})
}

// TestForgedNames: a scan in the name of those whom a host needs bans none of
// them. Gateway and controller are on the allow list of every order.
func TestForgedNames(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		gateway, controller := netlab.GatewayAddr4, w.source(60)
		if w.server.Is6() {
			gateway = netlab.GatewayAddr6
		}
		order := w.order("1001-1009/tcp,1001-1009/udp", "")
		order.Policy.Strikes = 1
		for _, addr := range []netip.Addr{gateway, controller} {
			order.Allow = append(order.Allow, netip.PrefixFrom(addr, addr.BitLen()))
		}
		w.set(order)
		for _, name := range []netip.Addr{gateway, controller, w.server} {
			for port := uint16(1001); port <= 1005; port++ {
				for _, proto := range []netlab.Protocol{netlab.TCP, netlab.UDP} {
					w.check(w.Cloud.Send(netlab.Packet{Proto: proto, Src: name, Dst: w.server, SrcPort: 40000, DstPort: port, Flags: netlab.SYN}))
				}
			}
		}
		w.answers(w.scanner, 0)
		w.noStrikes()
		if bans := w.bans(); len(bans) > 0 {
			t.Errorf("banned: %v", bans)
		}
	})
}

// TestFriendOfAContainer: what a host publishes for a container has no local
// socket, and its answers leave by another way.
func TestFriendOfAContainer(t *testing.T) {
	w := newWorld(t, ipv4, Options{})
	inner := netlab.New(t).Namespace("inner")
	bridge, guest := netip.MustParsePrefix("192.0.2.129/25"), netip.MustParsePrefix("192.0.2.130/25")
	w.check(netlab.Link(w.Server, "guests", inner, netlab.Eth0))
	w.check(w.Server.Addr("guests", bridge))
	w.check(inner.Addr(netlab.Eth0, guest))
	w.check(inner.DefaultRoute(bridge.Addr(), guest.Addr()))
	w.check(w.Server.Forward())
	w.feed(`table ip nat {
	chain PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local tcp dport 2222 dnat to 192.0.2.130:80
	}
}
`, "nft", "-f", "-")
	l, err := inner.Listen("tcp", netip.AddrPortFrom(guest.Addr(), 80).String())
	w.check(err)
	w.accept(l, func(c net.Conn) { io.Copy(c, c) })
	order := w.order("1001-1009/tcp", "")
	order.Protected = portSet(t, "22/tcp,2222/tcp")
	w.set(order)
	friend, stranger := w.source(2), w.source(3)
	w.converse(friend, hiddenPort, 1)
	w.wantFriend(friend, hiddenPort, true)
	for _, flags := range strays {
		w.send(netlab.Packet{Src: stranger, DstPort: hiddenPort, Flags: flags, Seq: 7, Ack: 9})
	}
	w.silent(stranger)
	w.wantBanned(stranger, false)

	order.Alarm = true
	w.set(order)
	w.syn(friend, 1001, 1002, 1003)
	w.wantBanned(friend, true)
	w.converse(friend, hiddenPort, 1)
	w.wantOpen(stranger, hiddenPort, false)
}
