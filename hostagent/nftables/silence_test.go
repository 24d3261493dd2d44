package nftables

import (
	"net/netip"
	"testing"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

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

// TestStraysAreSilent: nothing to a trap is answered, and what is no SYN does
// not count.
func TestStraysAreSilent(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		control, source := w.source(2), w.source(3)
		w.probe(control, 1001)
		// RST to ACK, Maimon, SYN+ACK, FIN, NULL, XMAS, SYN+FIN; ICMP to UDP
		if got := len(w.answers(control, 0)); got < 7 {
			t.Fatalf("without us a closed port gave %d answers, want at least 7", got)
		}
		w.set(w.order("1001-1009/tcp,1001-1009/udp", ""))
		for port := uint16(1001); port <= 1009; port++ {
			for _, flags := range strays {
				w.send(netlab.Packet{Src: source, DstPort: port, Flags: flags})
			}
		}
		w.silent(source)
		w.wantBanned(source, false)
		w.syn(source, 1001, 1002)
		w.wantBanned(source, false)
	})
}

// TestServiceOnTrap: behind a cloud firewall a service on a trap port is as
// hidden as it was; without one it is untouched. Neither counts.
func TestServiceOnTrap(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		wildcard := netip.IPv4Unspecified()
		if w.server.Is6() {
			wildcard = netip.IPv6Unspecified()
		}
		for port := uint16(1001); port <= 1004; port++ {
			w.listen(netip.AddrPortFrom(wildcard, port))
		}
		w.listen(netip.AddrPortFrom(w.server, 1005))
		udp, err := w.Server.ListenPacket("udp", netip.AddrPortFrom(w.server, 1001).String())
		w.check(err)
		defer udp.Close()

		hidden, seen := w.source(2), w.source(3)
		order := w.order("1001-1009/tcp,1001-1009/udp", "")
		w.set(order)
		for port := uint16(1001); port <= 1004; port++ {
			w.syn(hidden, port)
			w.probe(hidden, port)
		}
		w.syn(hidden, 1005)
		w.silent(hidden)
		if got := len(w.hits(hidden)); got != 3 { // UDP to where none is listened for
			t.Errorf("%d hits, want 3: %v", got, w.hits(hidden))
		}
		w.wantBanned(hidden, false)

		order.CloudFirewall = false
		w.set(order)
		for port := uint16(1001); port <= 1004; port++ {
			w.syn(seen, port)
			if got := w.answers(seen, port); len(got) == 0 || got[0].Flags != netlab.SYN|netlab.ACK {
				t.Errorf("%d answered %v, want SYN|ACK", port, got)
			}
		}
		w.wantBanned(seen, false)
		w.syn(seen, 1006, 1007, 1008)
		w.wantBanned(seen, true)
	})
}

// TestBannedUDP: a ban is about every new conversation, and about no old one.
func TestBannedUDP(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		service, err := w.Server.ListenPacket("udp", netip.AddrPortFrom(w.server, 53).String())
		w.check(err)
		defer service.Close()
		ask := func(from netip.Addr, srcPort uint16) {
			w.send(netlab.Packet{Proto: netlab.UDP, Src: from, SrcPort: srcPort, DstPort: 53, Payload: []byte("x")})
		}
		answer := func() {
			w.t.Helper()
			buf := make([]byte, 1)
			_, peer, err := service.ReadFrom(buf)
			w.check(err)
			_, err = service.WriteTo(buf, peer)
			w.check(err)
		}
		source := w.source(2)
		w.set(w.order("1001-1009/tcp", ""))
		ask(source, 5001)
		answer()
		w.syn(source, 1001, 1002, 1003)
		ask(source, 5001)
		answer()
		ask(source, 5002)
		ask(w.source(3), 5003)
		answer() // of the other: had the banned one's come in, it would be first
		for _, p := range w.answers(source, 53) {
			if p.DstPort != 5001 {
				t.Errorf("the banned source was answered: %s", p)
			}
		}
		if got := len(w.answers(w.source(3), 53)); got != 1 {
			t.Errorf("another source got %d answers, want 1", got)
		}
	})
}
