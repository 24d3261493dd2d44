package kerneltest

import (
	"net/netip"
	"testing"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// strays are what is no SYN and belongs to no connection: FIN, NULL, XMAS, ACK,
// Maimon and others.
var strays = []netlab.Flags{
	netlab.FIN, 0, netlab.FIN | netlab.PSH | netlab.URG, netlab.ACK, netlab.FIN | netlab.ACK,
	netlab.SYN | netlab.ACK, netlab.RST, netlab.RST | netlab.ACK, netlab.SYN | netlab.FIN,
}

// probe sends everything but a SYN that a port could be made to answer, with
// numbers and without.
func (w *world) probe(from netip.Addr, port uint16) {
	w.t.Helper()
	for _, flags := range strays {
		w.send(netlab.Packet{Src: from, DstPort: port, Flags: flags})
		w.send(netlab.Packet{Src: from, DstPort: port, Flags: flags, Seq: 7, Ack: 9})
	}
}

func (w *world) wantSilence(to netip.Addr) {
	w.t.Helper()
	if got := w.answers(to); len(got) > 0 {
		w.t.Errorf("%s was answered: %v, want silence", to, got)
	}
}

// TestSilence: whatever is sent, a trap and a hidden port say nothing to a
// stranger, and what is no SYN does not count.
func TestSilence(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		control, source := w.source(), w.source()
		w.probe(control, hiddenPort)
		w.probe(control, 1001)
		if got := len(w.answers(control)); got < 18 { // a listening port answers three of them, a closed one six
			t.Fatalf("without us %d answers, want at least 18", got)
		}
		w.set(w.order())
		for _, port := range []uint16{hiddenPort, 1001, 1002, 1003, 2001, 5021} {
			w.probe(source, port)
		}
		w.wantSilence(source)
		if got := w.hits(source); len(got) > 0 {
			t.Errorf("hits, want none: %v", got)
		}
		w.wantBanned(source, false)
		w.record("Silence", "FIN, NULL, XMAS, ACK, Maimon and others, to traps and the hidden port", "no answer, no hit")
	})
}

// TestProtectedPorts: one on which nobody listens today is as silent to what is
// no SYN, but tells a client that nobody is there; one that the world knows
// answers like any other.
func TestProtectedPorts(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		order.Protected = order.Protected.Union(w.ports(portText(answering)))
		w.set(order)
		stranger, client, visitor := w.source(), w.source(), w.source()
		w.probe(stranger, answering)
		w.wantSilence(stranger)
		w.syn(client, answering)
		if got := w.answers(client); len(got) != 1 || got[0].Flags != netlab.RST|netlab.ACK {
			t.Errorf("a SYN was answered by %v, want RST|ACK", got)
		}
		w.probe(visitor, publicPort)
		if got := len(w.answers(visitor)); got < 6 { // RST to ACK, Maimon, SYN|ACK
			t.Errorf("the public port gave %d answers, want at least 6", got)
		}
		w.wantBanned(stranger, false)
		w.record("Silence", "strays to a hidden port without a service, and to the public one", "silent, and answered")
	})
}

// TestServiceOnTrap: behind a cloud firewall a service on a trap port is as
// hidden as it was; without one it is untouched. Neither counts.
func TestServiceOnTrap(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		wildcard := netip.IPv4Unspecified()
		if w.server.Is6() {
			wildcard = netip.IPv6Unspecified()
		}
		services := netlab.Ascending(1001, 1004)
		for _, port := range services {
			w.serve(w.Server, netip.AddrPortFrom(wildcard, port))
		}
		w.serve(w.Server, netip.AddrPortFrom(w.server, 1005))
		datagrams, err := w.Server.ListenPacket("udp", netip.AddrPortFrom(w.server, 1001).String())
		w.check(err)
		defer datagrams.Close()
		order := w.order()
		w.set(order)
		hidden, served := w.source(), w.source()
		for _, port := range services {
			w.syn(hidden, port)
			w.probe(hidden, port)
		}
		w.syn(hidden, 1005)
		w.send(netlab.Packet{Proto: netlab.UDP, Src: hidden, DstPort: 1001, Payload: []byte("x")})
		w.wantSilence(hidden)
		w.wantBanned(hidden, false)

		order.CloudFirewall = false
		w.set(order)
		for _, port := range services {
			if !w.accepts(served, port) {
				t.Errorf("without a cloud firewall %d was not served", port)
			}
		}
		w.wantBanned(served, false)
		for _, source := range []netip.Addr{hidden, served} {
			if got := w.hits(source); len(got) > 0 {
				t.Errorf("hits, want none: %v", got)
			}
		}
		w.syn(served, 1006, 1007, 1008)
		w.wantBanned(served, true)
		w.record("Silence", "a service on a trap port", "hidden behind a cloud firewall, else served")
	})
}

// TestBannedUDP: a ban is about every new conversation, and about no old one.
func TestBannedUDP(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		service, err := w.Server.ListenPacket("udp", netip.AddrPortFrom(w.server, 53).String())
		w.check(err)
		defer service.Close()
		answer := func() {
			t.Helper()
			buf := make([]byte, 1)
			_, peer, err := service.ReadFrom(buf)
			w.check(err)
			_, err = service.WriteTo(buf, peer)
			w.check(err)
		}
		ask := func(from netip.Addr, srcPort uint16) {
			w.send(netlab.Packet{Proto: netlab.UDP, Src: from, SrcPort: srcPort, DstPort: 53, Payload: []byte("x")})
		}
		source, other := w.source(), w.source()
		w.set(w.order())
		ask(source, 5001)
		answer()
		w.syn(source, 1001, 1002, 1003)
		ask(source, 5001)
		answer()
		ask(source, 5002)
		ask(other, 5003)
		answer() // of the other: had the banned one's come in, it would be first
		for _, p := range w.answers(source) {
			if p.SrcPort == 53 && p.DstPort != 5001 {
				t.Errorf("the banned source was answered: %s", p)
			}
		}
		if got := len(w.answers(other)); got == 0 {
			t.Error("another source was not answered")
		}
		w.record("Silence", "UDP of a banned source", "old flows go on, new ones are dropped")
	})
}
