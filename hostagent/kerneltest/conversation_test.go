package kerneltest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// converse has a client of the scanner's say something to a port and hear the
// answer.
func (w *world) converse(client netip.Addr, port uint16) {
	w.t.Helper()
	c := w.dial(client, port)
	w.talk(c)
	w.check(c.Close())
}

// wantFriends fails the test unless these are friends, and nobody else is.
func (w *world) wantFriends(want ...portsnare.Friend) {
	w.t.Helper()
	slices.SortFunc(want, func(a, b portsnare.Friend) int {
		return cmp.Or(a.Source.Compare(b.Source), cmp.Compare(a.Port.Number, b.Port.Number))
	})
	same := func(got, want portsnare.Friend) bool {
		late := got.Until.Sub(want.Until)
		return got.Source == want.Source && got.Port == want.Port && -10*time.Second < late && late < time.Second
	}
	if got := w.friends(); !slices.EqualFunc(got, want, same) {
		w.t.Errorf("friends %v, want %v", got, want)
	}
}

// TestConversation: it takes data both ways to become a friend, of that port.
func TestConversation(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.set(w.order())
		friend, guest := w.befriend(), w.source()
		w.converse(guest, publicPort)
		w.wantFriends(friendOf(hiddenPort, friend, portsnare.FriendTime), friendOf(publicPort, guest, portsnare.FriendTime))
		w.record("Friends", "a conversation, on the hidden or the public port", "a friend of that port for three weeks")
	})
}

// TestSYNCookies: a handshake of which the server keeps nothing makes a friend
// like any other.
func TestSYNCookies(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.check(w.Server.Sysctl("net.ipv4.tcp_syncookies", "2"))
		w.set(w.order())
		w.wantFriends(friendOf(hiddenPort, w.befriend(), portsnare.FriendTime))
		w.record("Friends", "a conversation that began with a SYN cookie", "a friend")
	})
}

// answering is a protected port whose service the test itself plays.
const answering = 7001

// answered starts a service that the test plays, and returns what accepts its
// next connection.
func (w *world) answered() func() net.Conn {
	w.t.Helper()
	l, err := w.Server.Listen("tcp", netip.AddrPortFrom(w.server, answering).String())
	w.check(err)
	w.t.Cleanup(func() { l.Close() })
	return func() net.Conn {
		w.t.Helper()
		c, err := l.Accept()
		w.check(err)
		w.t.Cleanup(func() { c.Close() })
		return c
	}
}

// say has one end of a connection say something and the other hear it.
func (w *world) say(from, to net.Conn) {
	w.t.Helper()
	const text = "hello"
	w.check(to.SetDeadline(time.Now().Add(10 * time.Second)))
	_, err := io.WriteString(from, text)
	w.check(err)
	_, err = io.ReadFull(to, make([]byte, len(text)))
	w.check(err)
}

// TestNoFriend: what is no conversation both ways makes no friend.
func TestNoFriend(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		order.Protected = order.Protected.Union(w.ports(portText(answering)))
		w.set(order)
		accept := w.answered()
		w.check(w.dial(w.source(), hiddenPort).Close()) // says nothing
		listens, listener := w.dial(w.source(), answering), accept()
		w.say(listener, listens) // a banner that nobody answers
		speaker := w.source()
		speaks, unheard := w.dial(speaker, answering), accept()
		w.say(speaks, unheard) // and is not answered
		w.forgeConversation(w.source(), hiddenPort)
		w.forgeConversation(w.source(), publicPort)
		w.wantFriends()
		w.say(unheard, speaks)
		listened := listens.LocalAddr().(*net.TCPAddr).AddrPort().Addr()
		w.say(listens, listener)
		w.say(listener, listens)
		w.wantFriends(friendOf(answering, speaker, portsnare.FriendTime), friendOf(answering, listened, portsnare.FriendTime))
		w.record("Friends", "a handshake, a banner, an unanswered word, forged segments", "no friend")
	})
}

// forgeConversation speaks in the name of somebody whose mail it cannot read.
func (w *world) forgeConversation(victim netip.Addr, port uint16) {
	w.t.Helper()
	forge := func(flags netlab.Flags, seq, ack uint32, payload string) {
		w.send(netlab.Packet{Src: victim, SrcPort: 5000, DstPort: port, Flags: flags, Seq: seq, Ack: ack, Payload: []byte(payload)})
	}
	forge(netlab.PSH|netlab.ACK, 0, 0, "no handshake")
	forge(netlab.PSH, 0, 0, "no handshake")
	forge(netlab.SYN, 1, 0, "")
	for guess := uint32(1); guess < 1<<31; guess *= 7 {
		forge(netlab.ACK, 2, guess, "")
		forge(netlab.ACK|netlab.PSH, 2, guess, "let me in")
	}
	w.answers(victim)
}

// TestNoFriendOfOurs: whom we call is no friend, even from a protected port.
func TestNoFriendOfOurs(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		order.Protected = order.Protected.Union(w.ports(portText(answering)))
		w.set(order)
		peer := netip.AddrPortFrom(w.source(), 8080)
		w.serve(w.Scanner, peer)
		c, err := w.dialFrom(w.soon(), answering, peer)
		w.check(err)
		defer c.Close()
		w.talk(c)
		w.talk(c)
		w.wantFriends()
		w.record("Friends", "whom we call from a protected port", "no friend")
	})
}

// TestFriendIsServed: neither a ban, which anyone can forge in his name, nor an
// alarm cuts a friend off his port; off others they do.
func TestFriendIsServed(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		w.set(order)
		friend, guest := w.befriend(), w.source()
		w.converse(guest, publicPort)
		w.forge(friend)
		w.forge(guest)
		for _, order.Alarm = range []bool{false, true} {
			w.set(order)
			for _, source := range []netip.Addr{friend, guest} {
				if !w.banned(source) {
					t.Errorf("%s is not banned", source)
				}
			}
			w.converse(friend, hiddenPort)
			w.converse(guest, publicPort)
			if w.accepts(friend, publicPort) || w.accepts(guest, hiddenPort) {
				t.Error("served where no friend")
			}
		}
		w.record("Friends", "a ban and an alarm", "served on that port, on no other")
	})
}

// TestFriendsAreRestored: those of an order stand, as after a reboot, and are
// never cut short.
func TestFriendsAreRestored(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		order.Alarm = true
		friend := w.source()
		hidden, public := friendOf(hiddenPort, friend, time.Hour), friendOf(publicPort, friend, time.Hour)
		order.Friends = []portsnare.Friend{hidden, public, friendOf(hiddenPort, w.source(), -time.Second)} // the last no more
		w.set(order)
		w.wantFriends(hidden, public)
		if w.set(order) {
			t.Error("the second Set changed something")
		}
		w.converse(friend, hiddenPort)
		hidden = friendOf(hiddenPort, friend, portsnare.FriendTime)
		w.wantFriends(hidden, public)
		public.Until = public.Until.Add(time.Hour)
		order.Friends = append(order.Friends, public)
		w.set(order)
		w.wantFriends(hidden, public)
		w.record("Friends", "friends of an order", "never cut short")
	})
}

// TestFriendOfWhatBecameATrap: he knocks where he was served a minute ago, and
// that is no hit, whether the service is still there or not. But a trap is a
// trap, and nothing answers.
func TestFriendOfWhatBecameATrap(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		order.Policy.Strikes = 1
		order.Protected = order.Protected.Union(w.ports(portText(answering)))
		w.serve(w.Server, netip.AddrPortFrom(w.server, answering))
		friend, other := w.source(), w.source()
		order.Friends = []portsnare.Friend{friendOf(1001, friend, time.Hour)}
		w.set(order)
		w.converse(friend, answering)
		order.Protected = w.order().Protected
		order.Traps.Secret = order.Traps.Secret.Union(w.ports(portText(answering)))
		w.set(order)
		w.syn(friend, answering, 1001)
		w.send(netlab.Packet{Src: friend, SrcPort: 5000, DstPort: answering, Flags: netlab.SYN})
		if slices.ContainsFunc(w.answers(friend), func(p netlab.Packet) bool { return p.DstPort == 5000 || p.SrcPort == 1001 }) {
			t.Error("a trap answered")
		}
		w.wantNoHits(friend)
		w.wantBanned(friend, false)
		w.syn(other, 1001)
		w.wantBanned(other, true)
		w.syn(friend, 1002)
		w.wantBanned(friend, true)
		w.record("Friends", "a port that is a trap now", "no hit, no answer")
	})
}

// TestLostTracking: a conversation on a hidden port goes on although tracking
// has lost it, whoever speaks first, and either side may reset it.
func TestLostTracking(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		order.Protected = order.Protected.Union(w.ports(portText(answering)))
		w.set(order)
		accept := w.answered()
		lose := func() {
			w.do(func(context.Context) error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) })
		}
		client := w.dial(w.source(), answering)
		service := accept()
		w.say(client, service)
		w.say(service, client)
		lose()
		w.say(client, service)
		lose()
		w.say(service, client)
		lose()
		w.check(service.(*net.TCPConn).SetLinger(0))
		w.check(service.Close())
		w.check(client.SetDeadline(time.Now().Add(10 * time.Second)))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client was told %v, want a reset", err)
		}
		w.record("Friends", "a conversation whose tracking is lost", "goes on, and ends by a reset")
	})
}

// TestOpenUnderAlarm: what was open stays open, even without a word so far.
func TestOpenUnderAlarm(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		w.set(order)
		c := w.dial(w.source(), hiddenPort)
		order.Alarm = true
		w.set(order)
		w.talk(c)
		w.record("Alarm and delay", "a connection from before the alarm", "goes on")
	})
}

// TestLoopback: what the host says to itself is its own affair, even under an
// alarm and if somebody had its address banned.
func TestLoopback(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		order.Alarm = true
		order.Bans = []portsnare.Ban{{Source: portsnare.BanPrefix(w.server), Until: time.Now().Add(time.Hour)}}
		w.set(order)
		for _, port := range []uint16{publicPort, hiddenPort} {
			c, err := w.Server.Dial(w.soon(), "tcp", w.server.String(), netip.AddrPortFrom(w.server, port).String())
			w.check(err)
			w.talk(c)
			w.check(c.Close())
		}
		w.record("Alarm and delay", "the host itself, banned by an order", "served")
	})
}
