package ipset

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// servicePort is protected, hidden, and echoes.
const servicePort = 8022

// serve starts an echo service and returns an order that hides it.
func (w *world) serve() portsnare.Order {
	w.t.Helper()
	w.peer(w.Server, netip.AddrPortFrom(w.server, servicePort))
	order := w.order("1001-1009/tcp", "2001/tcp")
	order.Protected = portSet(w.t, "22/tcp,443/tcp,8022/tcp")
	order.Public = portSet(w.t, "443/tcp")
	return order
}

// connect connects to a port of the server's.
func (w *world) connect(from netip.Addr, port uint16) net.Conn {
	w.t.Helper()
	c, err := w.Scanner.Dial(w.soon(), "tcp", from.String(), netip.AddrPortFrom(w.server, port).String())
	w.check(err)
	return c
}

// talk has a conversation on a port of the server's.
func (w *world) talk(from netip.Addr, port uint16) {
	w.t.Helper()
	c := w.connect(from, port)
	w.echo(c)
	w.check(c.Close())
}

// friends returns until when the friends stay.
func (w *world) friends() map[friend]time.Time {
	w.t.Helper()
	until := map[friend]time.Time{}
	w.do(func(ctx context.Context) error {
		friends, err := w.b.Friends(ctx)
		for _, f := range friends {
			until[friend{f.Source, f.Port}] = f.Until
		}
		return err
	})
	return until
}

func friendOf(source netip.Addr, port uint16) friend {
	return friend{portsnare.BanPrefix(source), portsnare.Port{Protocol: portsnare.TCP, Number: port}}
}

// wantFriend fails the test unless a source is a friend of the port for so long.
func (w *world) wantFriend(source netip.Addr, port uint16, want time.Duration) {
	w.t.Helper()
	left := time.Until(w.friends()[friendOf(source, port)])
	if left > want+time.Second || left < want-10*time.Second {
		w.t.Errorf("%s is a friend of %d for %s, want %s", source, port, left, want)
	}
}

// TestNoFriend: what is no conversation both ways makes no friend.
func TestNoFriend(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.serve()
		w.set(order)
		banner, err := w.Server.Listen("tcp", netip.AddrPortFrom(w.server, 443).String())
		w.check(err)
		defer banner.Close()
		deadline := time.Now().Add(10 * time.Second)

		w.check(w.connect(w.source(2), servicePort).Close()) // says nothing
		listens := w.connect(w.source(3), 443)
		defer listens.Close()
		served, err := banner.Accept()
		w.check(err)
		defer served.Close()
		w.check(listens.SetDeadline(deadline))
		w.check(served.SetDeadline(deadline))
		_, err = io.WriteString(served, "hello") // a banner that nobody answers
		w.check(err)
		_, err = io.ReadFull(listens, make([]byte, 5))
		w.check(err)
		unheard := w.connect(w.source(4), 443) // speaks, and is not answered
		defer unheard.Close()
		served, err = banner.Accept()
		w.check(err)
		defer served.Close()
		w.check(served.SetDeadline(deadline))
		_, err = io.WriteString(unheard, "hello")
		w.check(err)
		_, err = io.ReadFull(served, make([]byte, 5))
		w.check(err)
		for _, flags := range []netlab.Flags{netlab.PSH | netlab.ACK, netlab.PSH} {
			w.send(netlab.Packet{Src: w.source(5), DstPort: servicePort, Flags: flags, Payload: []byte("x")})
		}
		w.answers(w.source(5), 0)
		if got := w.friends(); len(got) > 0 {
			t.Errorf("friends %v, want none", got)
		}
		_, err = io.WriteString(served, "hello")
		w.check(err)
		w.check(unheard.SetDeadline(deadline))
		_, err = io.ReadFull(unheard, make([]byte, 5))
		w.check(err)
		w.wantFriend(w.source(4), 443, portsnare.FriendTime)
	})
}

// TestFriendsAreRestored: those of an order stand, and are never cut short.
func TestFriendsAreRestored(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.serve()
		order.Alarm = true
		hidden, public := w.source(2), w.source(3)
		give := func(source netip.Addr, port uint16, left time.Duration) {
			f := friendOf(source, port)
			order.Friends = append(order.Friends, portsnare.Friend{Source: f.source, Port: f.port, Until: time.Now().Add(left)})
		}
		give(hidden, servicePort, time.Hour)
		give(public, 443, time.Hour)
		give(w.source(4), servicePort, -time.Second) // is none any more
		if !w.set(order) || w.set(order) {
			t.Error("the first Set changed nothing, or the second something")
		}
		w.wantFriend(hidden, servicePort, time.Hour)
		w.wantFriend(public, 443, time.Hour)
		if got := len(w.friends()); got != 2 {
			t.Errorf("%d friends, want 2", got)
		}
		w.talk(hidden, servicePort)
		w.wantFriend(hidden, servicePort, portsnare.FriendTime)
		give(public, 443, 2*time.Hour)
		w.set(order)
		w.wantFriend(hidden, servicePort, portsnare.FriendTime)
		w.wantFriend(public, 443, 2*time.Hour)
	})
}

// TestFriendOfAContainer: a published port has no socket of the host's, and what
// the container says leaves from another port.
func TestFriendOfAContainer(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		inner := w.publish(servicePort, 80)
		w.peer(inner.Namespace, netip.AddrPortFrom(inner.addr, 80))
		order := w.order("1001-1009/tcp", "")
		order.Protected = portSet(t, "22/tcp,8022/tcp")
		w.set(order)
		source, stranger := w.source(2), w.source(3)
		w.probe(stranger, servicePort)
		for _, p := range w.answers(stranger, 0) {
			if p.Proto != netlab.ICMP && p.Proto != netlab.ICMPv6 { // of UDP, which is not hidden
				t.Errorf("a published hidden port answered a stray: %s", p)
			}
		}
		w.talk(source, servicePort)
		w.wantFriend(source, servicePort, portsnare.FriendTime)
		w.syn(source, 1001, 1002, 1003)
		w.wantBanned(source, true)
		w.talk(source, servicePort)
	})
}

// container is a namespace behind the server.
type container struct {
	*netlab.Namespace
	addr netip.Addr
}

// publish makes a container, and has the server hand connections to a port of
// its own on to one of the container's.
func (w *world) publish(port, inside uint16) container {
	w.t.Helper()
	inner := netlab.New(w.t).Namespace("inner")
	gateway, guest := netip.MustParsePrefix("192.0.2.129/25"), netip.MustParsePrefix("192.0.2.130/25")
	if w.server.Is6() {
		gateway, guest = netip.MustParsePrefix("2001:db8:d::1/64"), netip.MustParsePrefix("2001:db8:d::2/64")
	}
	w.check(netlab.Link(w.Server, "guests", inner, netlab.Eth0))
	w.check(w.Server.Addr("guests", gateway))
	w.check(inner.Addr(netlab.Eth0, guest))
	w.check(inner.DefaultRoute(gateway.Addr(), guest.Addr()))
	w.check(w.Server.Forward())
	w.output(toolOf(w.ipFamily), "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", portString(port),
		"-j", "DNAT", "--to-destination", netip.AddrPortFrom(guest.Addr(), inside).String())
	return container{inner, guest.Addr()}
}

// strays are the probes of nmap that are no SYN, and what else is none.
var strays = []netlab.Flags{
	netlab.FIN, 0, netlab.FIN | netlab.PSH | netlab.URG, // FIN, NULL, XMAS
	netlab.ACK, netlab.FIN | netlab.ACK, // ACK, Maimon
	netlab.SYN | netlab.ACK, netlab.RST, netlab.RST | netlab.ACK, netlab.SYN | netlab.FIN,
}

// probe sends everything that a port could be made to answer.
func (w *world) probe(from netip.Addr, port uint16) {
	for _, flags := range strays {
		w.send(netlab.Packet{Src: from, DstPort: port, Flags: flags})
	}
	w.send(netlab.Packet{Proto: netlab.UDP, Src: from, DstPort: port, Payload: []byte("x")})
}
