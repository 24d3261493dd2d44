package nftables

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

// webPort is public, protectedPort is hidden.
const webPort = 443

// converse has a client on the scanner say something to a port and hear an
// answer, over and over until it is told to stop: each word is one write.
func (w *world) converse(from netip.Addr, port uint16, words int) {
	w.t.Helper()
	c, err := w.Scanner.Dial(w.soon(), "tcp", from.String(), netip.AddrPortFrom(w.server, port).String())
	w.check(err)
	defer c.Close()
	for range words {
		w.echo(c)
	}
}

// serve listens on a port of the server and sends back what it gets.
func (w *world) serve(port uint16) {
	w.t.Helper()
	l, err := w.Server.Listen("tcp", netip.AddrPortFrom(w.server, port).String())
	w.check(err)
	w.accept(l, func(c net.Conn) { io.Copy(c, c) })
}

// friends returns until when each friend of a port is one.
func (w *world) friends(port uint16) map[netip.Prefix]time.Time {
	w.t.Helper()
	until := map[netip.Prefix]time.Time{}
	w.do(func(ctx context.Context) error {
		friends, err := w.b.Friends(ctx)
		for _, f := range friends {
			if f.Port == (portsnare.Port{Protocol: portsnare.TCP, Number: port}) {
				until[f.Source] = f.Until
			}
		}
		return err
	})
	return until
}

// wantFriend fails the test unless the source is a friend of a port, or is not.
func (w *world) wantFriend(from netip.Addr, port uint16, want bool) {
	w.t.Helper()
	until, got := w.friends(port)[portsnare.BanPrefix(from)]
	if got != want {
		w.t.Errorf("%s is a friend of %d: %t, want %t", from, port, got, want)
	}
	if left := time.Until(until); got && (left > portsnare.FriendTime || left < portsnare.FriendTime-time.Minute) {
		w.t.Errorf("%s is a friend for %s, want %s", from, left, portsnare.FriendTime)
	}
}

// friendly is an order for a world with a service on a hidden and on a public
// port, both of which echo.
func (w *world) friendly() portsnare.Order {
	w.serve(hiddenPort)
	w.serve(webPort)
	order := w.order("1001-1009/tcp", "")
	order.Protected = portSet(w.t, "22/tcp,2222/tcp,443/tcp")
	order.Public = portSet(w.t, "443/tcp")
	return order
}

// hiddenPort is one on which there is something to talk about.
const hiddenPort = 2222

// TestFriendByConversation: it takes data both ways to become a friend.
func TestFriendByConversation(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.set(w.friendly())
		friend, guest := w.source(2), w.source(3)
		w.converse(friend, hiddenPort, 1)
		w.wantFriend(friend, hiddenPort, true)
		w.wantFriend(friend, webPort, false)
		w.converse(guest, webPort, 1)
		w.wantFriend(guest, webPort, true)
		w.wantFriend(guest, hiddenPort, false)

		visitor := w.source(4) // connects, says nothing, goes
		c, err := w.Scanner.Dial(w.soon(), "tcp", visitor.String(), netip.AddrPortFrom(w.server, hiddenPort).String())
		w.check(err)
		w.check(c.Close())
		w.wantFriend(visitor, hiddenPort, false)
	})
}

// TestNoFriendByBanner: a service that speaks first has not yet been answered.
func TestNoFriendByBanner(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		const banner = "SSH-2.0-test\r\n"
		l, err := w.Server.Listen("tcp", netip.AddrPortFrom(w.server, hiddenPort).String())
		w.check(err)
		w.accept(l, func(c net.Conn) {
			io.WriteString(c, banner)
			if _, err := io.ReadFull(c, make([]byte, 5)); err == nil {
				io.WriteString(c, banner)
			}
		})
		order := w.order("1001-1009/tcp", "")
		order.Protected = portSet(t, "22/tcp,2222/tcp")
		w.set(order)
		source := w.source(2)
		c, err := w.Scanner.Dial(w.soon(), "tcp", source.String(), netip.AddrPortFrom(w.server, hiddenPort).String())
		w.check(err)
		defer c.Close()
		heard := func() {
			t.Helper()
			w.check(c.SetReadDeadline(time.Now().Add(10 * time.Second)))
			_, err := io.ReadFull(c, make([]byte, len(banner)))
			w.check(err)
		}
		heard()
		w.wantFriend(source, hiddenPort, false)
		_, err = io.WriteString(c, "hello")
		w.check(err)
		heard()
		w.wantFriend(source, hiddenPort, true)
	})
}

// TestNoFriendByForgery: whoever does not see our answers cannot have a
// conversation, in whosever name.
func TestNoFriendByForgery(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.set(w.friendly())
		victim := w.source(2)
		for _, port := range []uint16{hiddenPort, webPort} {
			forge := func(flags netlab.Flags, seq, ack uint32, payload string) {
				w.send(netlab.Packet{
					Src: victim, SrcPort: 5000, DstPort: port, Flags: flags, Seq: seq, Ack: ack, Payload: []byte(payload),
				})
			}
			forge(netlab.SYN, 1, 0, "")
			for guess := uint32(1); guess < 1<<31; guess *= 7 {
				forge(netlab.ACK, 2, guess, "")
				forge(netlab.ACK|netlab.PSH, 2, guess, "let me in")
			}
			w.answers(victim, port)
			w.wantFriend(victim, port, false)
		}
	})
}

// TestNoFriendOfOurs: whom we call is no friend, even from a protected port.
func TestNoFriendOfOurs(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.order("1001-1009/tcp", "")
		order.Protected = portSet(t, "22/tcp,2222/tcp")
		w.set(order)
		peer := netip.AddrPortFrom(w.source(50), 8080)
		w.peer(w.Scanner, peer)
		c, err := w.dialFrom(w.soon(), hiddenPort, peer)
		w.check(err)
		defer c.Close()
		w.echo(c)
		w.echo(c)
		w.wantFriend(peer.Addr(), hiddenPort, false)
	})
}

// TestFriendIsServed: neither a ban, which anyone can forge in his name, nor an
// alarm cuts a friend off his port; other ports it does.
func TestFriendIsServed(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.friendly()
		w.set(order)
		friend, guest := w.source(2), w.source(3)
		w.converse(friend, hiddenPort, 1)
		w.converse(guest, webPort, 1)
		w.syn(friend, 1001, 1002, 1003) // or somebody in his name
		w.syn(guest, 1001, 1002, 1003)
		for _, alarm := range []bool{false, true} {
			order.Alarm = alarm
			w.set(order)
			w.wantBanned(friend, true)
			w.wantBanned(guest, true)
			w.converse(friend, hiddenPort, 1)
			w.wantOpen(friend, webPort, false)
			w.converse(guest, webPort, 1)
			w.wantOpen(guest, hiddenPort, false)
		}
	})
}

// TestFriendsAreRestored, as after a reboot, and never shortened.
func TestFriendsAreRestored(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.friendly()
		friend := w.source(2)
		order.Alarm = true
		order.Friends = []portsnare.Friend{
			{Source: portsnare.BanPrefix(friend), Port: tcp(hiddenPort), Until: time.Now().Add(time.Hour)},
			{Source: portsnare.BanPrefix(friend), Port: tcp(webPort), Until: time.Now().Add(time.Hour)},
			{Source: portsnare.BanPrefix(w.source(3)), Port: tcp(hiddenPort), Until: time.Now().Add(-time.Hour)},
		}
		w.set(order)
		for _, port := range []uint16{hiddenPort, webPort} {
			if left := time.Until(w.friends(port)[portsnare.BanPrefix(friend)]); left < 59*time.Minute || left > time.Hour+time.Second {
				t.Errorf("friend of %d for %s, want 1h", port, left)
			}
		}
		w.wantFriend(w.source(3), hiddenPort, false)
		if w.set(order) {
			t.Error("the second Set changed something")
		}
		w.converse(friend, hiddenPort, 1)
		w.wantFriend(friend, hiddenPort, true)
		w.set(order)
		w.wantFriend(friend, hiddenPort, true) // still for all of FriendTime
		order.Friends[1].Until = time.Now().Add(3 * time.Hour)
		w.set(order)
		if left := time.Until(w.friends(webPort)[portsnare.BanPrefix(friend)]); left < 179*time.Minute {
			t.Errorf("friend of %d for %s, want 3h", webPort, left)
		}
	})
}

// TestFriendOfWhatBecameATrap: he knocks where he was served a minute ago, and
// that is no hit, whether the service is still there or not; but a trap is a
// trap, and nothing answers.
func TestFriendOfWhatBecameATrap(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.friendly()
		friend, other := w.source(2), w.source(3)
		order.Friends = []portsnare.Friend{
			{Source: portsnare.BanPrefix(friend), Port: tcp(1001), Until: time.Now().Add(time.Hour)},
		}
		w.set(order)
		w.converse(friend, hiddenPort, 1)
		order.Protected = portSet(t, "22/tcp,443/tcp")
		order.Traps.Secret = portSet(t, "1001-1009/tcp,2222/tcp")
		order.Policy.Strikes = 1
		w.set(order)
		w.wantOpen(friend, hiddenPort, false)
		w.wantOpen(friend, 1001, false)
		if got := len(w.answers(friend, 1001)); got > 0 {
			t.Errorf("the trap gave %d answers, want none", got)
		}
		w.noStrikes()
		w.wantBanned(friend, false)
		w.syn(other, 1001)
		w.wantBanned(other, true)
		w.syn(friend, 1002)
		w.wantBanned(friend, true)
	})
}
