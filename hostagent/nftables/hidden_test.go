package nftables

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// wantOpen fails the test unless a port answers a new SYN of the source, or does
// not.
func (w *world) wantOpen(from netip.Addr, port uint16, want bool) {
	w.t.Helper()
	before := len(w.accepted(from, port))
	w.syn(from, port)
	if got := len(w.accepted(from, port)) > before; got != want {
		w.t.Errorf("%d is open to %s: %t, want %t", port, from, got, want)
	}
}

// accepted returns the SYN-ACKs of a port to a source.
func (w *world) accepted(to netip.Addr, port uint16) (found []netlab.Packet) {
	w.t.Helper()
	for _, p := range w.answers(to, port) {
		if p.Flags == netlab.SYN|netlab.ACK {
			found = append(found, p)
		}
	}
	return found
}

// TestAlarm keeps strangers off the hidden ports, and nobody off the public
// ones.
func TestAlarm(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.friendly()
		stranger, allowed := w.source(2), w.source(3)
		order.Allow = []netip.Prefix{portsnare.BanPrefix(allowed)}
		w.set(order)
		w.wantOpen(stranger, hiddenPort, true)
		c, err := w.Scanner.Dial(w.soon(), "tcp", w.source(4).String(), netip.AddrPortFrom(w.server, hiddenPort).String())
		w.check(err)
		defer c.Close()

		order.Alarm = true
		w.set(order)
		w.wantOpen(stranger, hiddenPort, false)
		w.wantOpen(stranger, webPort, true)
		w.wantOpen(allowed, hiddenPort, true)
		w.echo(c) // what was open stays open

		order.Alarm = false
		w.set(order)
		w.wantOpen(stranger, hiddenPort, true)
	})
}

// knock sends a SYN to a hidden port from a fixed source port.
func (w *world) knock(from netip.Addr, srcPort uint16) {
	w.t.Helper()
	w.send(netlab.Packet{Src: from, SrcPort: srcPort, DstPort: hiddenPort, Flags: netlab.SYN, OfferSACK: true})
}

// wantAccepted fails the test unless a hidden port has answered so many SYNs of
// a source.
func (w *world) wantAccepted(from netip.Addr, want int) {
	w.t.Helper()
	if got := len(w.accepted(from, hiddenPort)); got != want {
		w.t.Errorf("%s was accepted %d times, want %d", from, got, want)
	}
}

// delayed is an order for a world in which strangers knock twice.
func (w *world) delayed() portsnare.Order {
	order := w.friendly()
	order.Policy.Delay = true
	return order
}

// TestDelay: programs connect, their kernels repeat the SYN after a second.
func TestDelay(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.set(w.delayed())
		client := w.source(2)
		timed := func(port uint16, least, most time.Duration) {
			t.Helper()
			start := time.Now()
			w.converse(client, port, 1)
			if took := time.Since(start); took < least || took > most {
				t.Errorf("port %d took %s, want %s to %s", port, took, least, most)
			}
		}
		timed(webPort, 0, 900*time.Millisecond)
		timed(hiddenPort, 900*time.Millisecond, 5*time.Second)
		timed(hiddenPort, 0, 900*time.Millisecond) // is a friend now
	})
}

// TestDelayRefusesDuplicates: what comes again at once is no retransmit, however
// often it comes; what comes from another port is another SYN.
func TestDelayRefusesDuplicates(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.set(w.delayed())
		nmap, client := w.source(2), w.source(3)
		w.knock(client, 5000)
		for n := range 15 {
			w.knock(nmap, 53)
			w.knock(nmap, uint16(6000+n))
			time.Sleep(100 * time.Millisecond) // as nmap waits: time itself is what is tested
		}
		w.wantAccepted(nmap, 0)
		w.knock(client, 5000)
		w.wantAccepted(client, 1)
		w.knock(client, 5001)
		w.wantAccepted(client, 1)
	})
}

// TestDelayRefusesScanners: a true duplicate gets in unless a trap was touched
// meanwhile, of whatever class.
func TestDelayRefusesScanners(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.delayed()
		order.Traps = portsnare.Traps{Secret: portSet(t, "1001-1009/tcp,1001/udp"), Bait: portSet(t, "2001/tcp")}
		for _, strikes := range []int{1, 3} {
			order.Policy.Strikes = strikes
			w.set(order)
			first := 10 * strikes
			clean, secret, bait, udp := w.source(first), w.source(first+1), w.source(first+2), w.source(first+3)
			for _, source := range []netip.Addr{clean, secret, bait, udp} {
				w.knock(source, 53)
			}
			w.syn(secret, 1001)
			w.syn(bait, 2001)
			w.send(netlab.Packet{Proto: netlab.UDP, Src: udp, DstPort: 1001, Payload: []byte("x")})
			time.Sleep(time.Second) // masscan --retries: time itself is what is tested
			for _, source := range []netip.Addr{clean, secret, bait, udp} {
				w.knock(source, 53)
			}
			w.wantAccepted(clean, 1)
			w.wantAccepted(secret, 0)
			w.wantAccepted(bait, 0)
			w.wantAccepted(udp, 0)
		}
	})
}

// TestDelayOfFlood: when there is no room to remember who has to knock twice,
// nobody has to.
func TestDelayOfFlood(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.set(w.delayed())
		w.flood(hiddenPort, maxPairs-1)
		late := w.source(3)
		w.knock(w.source(2), 5000)
		w.wantAccepted(w.source(2), 0)
		w.knock(late, 5000)
		w.wantAccepted(late, 1)
	})
}

// TestStraysToHiddenPort: nothing but a SYN is answered, or any scan but a SYN
// scan would find the port.
func TestStraysToHiddenPort(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.order("1001-1009/tcp", "")
		order.Protected, order.Public = portSet(t, "22/tcp,23/tcp,443/tcp"), portSet(t, "443/tcp")
		w.listen(netip.AddrPortFrom(wildcard(w.server), webPort))
		control, source := w.source(2), w.source(3)
		probe := func(from netip.Addr, port uint16) {
			for _, flags := range strays {
				w.send(netlab.Packet{Src: from, DstPort: port, Flags: flags, Seq: 7, Ack: 9})
			}
		}
		probe(control, protectedPort)
		if got := len(w.answers(control, 0)); got < 3 { // RST to ACK, Maimon, SYN+ACK
			t.Fatalf("without us a listening port gave %d answers, want at least 3", got)
		}
		w.set(order)
		probe(source, protectedPort) // bound to an address
		probe(source, 23)            // nobody listens today
		w.silent(source)
		probe(source, webPort)
		if got := len(w.answers(source, webPort)); got < 3 {
			t.Errorf("the public port gave %d answers, want at least 3", got)
		}
		w.syn(source, 23) // refused, as a client ought to be told
		if got := w.answers(source, 23); len(got) != 1 || got[0].Flags != netlab.RST|netlab.ACK {
			t.Errorf("a closed port answered a SYN by %v, want RST|ACK", got)
		}
		w.wantBanned(source, false)
	})
}

// TestLostTracking: a live session whose tracking is lost goes on, and may be
// reset by either side.
func TestLostTracking(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.order("1001-1009/tcp", "")
		order.Protected = portSet(t, "22/tcp,2222/tcp")
		l, err := w.Server.Listen("tcp", netip.AddrPortFrom(w.server, hiddenPort).String())
		w.check(err)
		abort := make(chan struct{})
		w.accept(l, func(c net.Conn) {
			io.CopyN(c, c, 2*int64(len("still here")))
			<-abort
			c.(*net.TCPConn).SetLinger(0)
		})
		w.set(order)
		c, err := w.Scanner.Dial(w.soon(), "tcp", w.source(2).String(), netip.AddrPortFrom(w.server, hiddenPort).String())
		w.check(err)
		defer c.Close()
		w.echo(c)
		w.check(w.Server.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) }))
		w.echo(c)
		w.check(w.Server.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) }))
		close(abort)
		w.check(c.SetReadDeadline(time.Now().Add(10 * time.Second)))
		if _, err := c.Read(make([]byte, 1)); err == nil || err.(net.Error).Timeout() {
			t.Errorf("the client was told %v, want a reset", err)
		}
	})
}

// TestSYNCookies: a handshake whose SYN the kernel has forgotten on purpose.
func TestSYNCookies(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.check(w.Server.Sysctl("net.ipv4.tcp_syncookies", "2"))
		w.set(w.friendly())
		w.converse(w.source(2), hiddenPort, 1)
		w.wantFriend(w.source(2), hiddenPort, true)
	})
}

// accept serves the connections of a listener until the test ends.
func (w *world) accept(l net.Listener, serve func(net.Conn)) {
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { c.Close() })
			go func() { serve(c); c.Close() }()
		}
	}()
	w.t.Cleanup(func() { l.Close(); cancel(); <-done })
}

// wildcard is any address of the family.
func wildcard(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
