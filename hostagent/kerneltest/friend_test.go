package kerneltest

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// befriend has a client of the hidden port talk with the service.
func (w *world) befriend() netip.Addr {
	w.t.Helper()
	friend := w.source()
	c := w.dial(friend, hiddenPort)
	w.talk(c)
	w.check(c.Close())
	return friend
}

// friends returns who is known as a friend of what.
func (w *world) friends() (friends []portsnare.Friend) {
	w.t.Helper()
	w.do(func(ctx context.Context) (err error) {
		friends, err = w.b.Friends(ctx)
		return err
	})
	return friends
}

// TestFriend: a ban does not cut a friend off, whoever had him banned, also
// after a reboot; from other ports it does.
func TestFriend(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		w.set(order)
		friend, guest := w.befriend(), w.source()
		w.serves(guest) // a SYN is no conversation
		w.forge(friend)
		w.forge(guest)
		wantFriend := func(w *world) {
			t.Helper()
			if !w.banned(friend) || !w.serves(friend) || w.accepts(friend, publicPort) {
				t.Errorf("the friend: banned %t, served %t, where he is no friend %t; want true, true, false",
					w.banned(friend), w.serves(friend), w.accepts(friend, publicPort))
			}
			w.wantBanned(guest, true)
		}
		wantFriend(w)
		w.record("Forged scans", "in the name of a friend", "served where he is a friend")

		order.Bans, order.Friends = w.savedBans(), w.friends()
		after := newWorld(t, w.variant, w.family)
		after.set(order)
		wantFriend(after)
		for i, got := range after.friends() {
			if want := order.Friends[i]; got.Source != want.Source || got.Until.Sub(want.Until).Abs() > 2*time.Second {
				t.Errorf("friend %v after the reboot, want %v", got, want)
			}
		}
		w.record("State", "reboot, friends", "friends restored")
	})
}

// TestFriendOfFormerPort: whoever has had conversations on three ports that are
// traps now is not banned for coming back.
func TestFriendOfFormerPort(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		former := []uint16{7001, 7002, 7003}
		order := w.order()
		order.Protected = order.Protected.Union(w.ports("7001-7003/tcp"))
		w.set(order)
		client := w.source()
		for _, port := range former {
			w.serve(w.Server, netip.AddrPortFrom(w.server, port))
			w.talk(w.dial(client, port))
		}
		order = w.order()
		order.Generation++
		order.Traps.Secret = order.Traps.Secret.Union(w.ports("7001-7003/tcp"))
		w.set(order)
		w.syn(client, former...)
		w.wantBanned(client, false)
		w.record("Innocents", "a client of three ports that are traps now", "not banned, served")
	})
}

// TestAlarm: strangers are kept off the hidden port, and only off that.
func TestAlarm(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		allowed := w.source()
		order.Allow = []netip.Prefix{portsnare.BanPrefix(allowed)}
		w.set(order)
		friend, stranger := w.befriend(), w.source()
		order.Alarm = true
		w.set(order)
		for _, want := range []struct {
			who            string
			addr           netip.Addr
			hidden, public bool
		}{{"friend", friend, true, true}, {"allowed", allowed, true, true}, {"stranger", stranger, false, true}} {
			if hidden, public := w.serves(want.addr), w.accepts(want.addr, publicPort); hidden != want.hidden || public != want.public {
				t.Errorf("%s: hidden port %t, public port %t, want %t and %t", want.who, hidden, public, want.hidden, want.public)
			}
		}
		order.Alarm = false
		w.set(order)
		w.wantBanned(stranger, false)
		w.record("Alarm and delay", "alarm", "friends and public port served, strangers not")
	})
}

// behind is the hidden port and traps behind it, which come too late to be a
// warning.
var behind = netlab.Ascending(hiddenPort, 5027)

// delayed are scans that come to the hidden port first, and what delay makes of
// them. The last one repeats a SYN as a client's kernel does, after a second, from
// the same port and with its options, and touches no trap meanwhile: nothing
// tells it apart.
var delayed = []scan{
	{name: "nmap -r", want: caught, run: nmap(behind, "-sS", "-r")},
	{name: "nmap -r -g 53", want: caught, run: nmap(behind, "-sS", "-r", "-g", "53")},
	{name: "nmap -sT -r", want: caught, run: nmap(behind, "-sT", "-r", "--max-retries", "1")},
	{name: "masscan --retries 2", want: caught, run: masscan(swept, "--retries", "2")},
	{name: "syn scan, ascending", want: caught, run: func(w *world, from netip.Addr) error {
		_, err := netlab.SYNScan(w.soon(), w.Scanner, w.scanOptions(from, behind))
		return err
	}},
	{name: "nmap, the hidden port alone", want: missed, run: nmap([]uint16{hiddenPort}, "-sS")},
	{name: "nmap -g 53 -T5, the hidden port alone", want: missed, run: nmap([]uint16{hiddenPort}, "-sS", "-g", "53", "-T5", "--max-retries", "1")},
	{name: "masscan --retries 1, the hidden port alone", want: missed, run: masscan([]uint16{hiddenPort}, "--retries", "1")},
	{name: "zmap, the hidden port alone", want: missed, run: zmap(hiddenPort), only: &ipv4},
	{name: "hping3 duplicates at 50 a second", want: missed, only: &ipv4,
		run: hping("-S", "-k", "-s", "4000", "-p", "5022", "-c", "8", "-i", "u20000")},
	{name: "hping3 duplicates at one a second", want: missed, only: &ipv4,
		run: hping("-S", "-k", "-s", "4000", "-p", "5022", "-c", "5", "-i", "1")},
	{name: "nmap -g 53, the hidden port alone", want: missed, run: nmap([]uint16{hiddenPort}, "-sS", "-g", "53")},
	{name: "a patient forger of a client's SYN", want: naked, run: func(w *world, from netip.Addr) error {
		for range 2 {
			w.send(netlab.Packet{Src: from, SrcPort: 4000, DstPort: hiddenPort, Flags: netlab.SYN, OfferSACK: true})
			time.Sleep(time.Second) // time itself is what is tested
		}
		return nil
	}},
}

// TestDelay: a client's retransmit is admitted, a scanner's probe is not.
func TestDelay(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		order.Policy.Delay = true
		w.set(order)
		for _, s := range delayed {
			if s.only == nil || s.only.name == w.family.name {
				w.run(t, s.name, func(w *world) { s.judge(w, "Alarm and delay", s.want) })
			}
		}
		w.run(t, "a client", func(w *world) {
			client := w.source()
			start := time.Now()
			w.talk(w.dial(client, hiddenPort))
			first := time.Since(start)
			if !w.serves(client) {
				w.t.Error("a client who has been served had to wait again")
			}
			if first < 900*time.Millisecond {
				w.t.Errorf("the first connection took %s, want a second", first)
			}
			w.record("Alarm and delay", "a client, delay", "served after a second, then at once")
		})
	})
}

// TestDelayOfPlainClient: a client whose kernel does not offer SACK has to be as
// patient as no scanner is, and is served in the end.
func TestDelayOfPlainClient(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		order.Policy.Delay = true
		w.set(order)
		w.check(w.Scanner.Sysctl("net/ipv4/tcp_sack", "0"))
		client := w.source()
		start := time.Now()
		w.talk(w.dial(client, hiddenPort))
		if took := time.Since(start); took < 2*time.Second {
			t.Errorf("the first connection took %s, want the client's first pause of 2 s or more", took)
		}
		if !w.serves(client) {
			t.Error("a client who has been served had to wait again")
		}
		w.record("Alarm and delay", "a client that offers no SACK, delay", "served after a longer pause, then at once")
	})
}
