package kerneltest

import (
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// guest is a container or a virtual machine, behind the server.
type guest struct {
	*netlab.Namespace
	addr netip.Addr
}

// newGuest makes one whose way out is the server.
func (w *world) newGuest() guest {
	w.t.Helper()
	inner := netlab.New(w.t).Namespace("guest")
	bridge, addr := netip.MustParsePrefix("192.0.2.129/25"), netip.MustParsePrefix("192.0.2.130/25")
	if w.server.Is6() {
		bridge, addr = netip.MustParsePrefix("2001:db8:d::1/64"), netip.MustParsePrefix("2001:db8:d::2/64")
	}
	w.check(netlab.Link(w.Server, "guests", inner, netlab.Eth0))
	w.check(w.Server.Addr("guests", bridge))
	w.check(inner.Addr(netlab.Eth0, addr))
	w.check(inner.DefaultRoute(bridge.Addr(), addr.Addr()))
	return guest{inner, addr.Addr()}
}

// nat adds a rule to the server's translation of addresses.
func (w *world) nat(rule ...string) {
	w.t.Helper()
	w.output(map[bool]string{true: "iptables", false: "ip6tables"}[w.server.Is4()], append([]string{"-t", "nat", "-A"}, rule...)...)
}

// TestForwarded: what the host only forwards is none of our business, even from
// a banned source, nor is a flow whose source it translates to a trap port.
func TestForwarded(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		guest := w.newGuest()
		w.check(w.Cloud.Route(netip.PrefixFrom(guest.addr, guest.addr.BitLen()), w.server))
		peer := netip.AddrPortFrom(w.source(), 8080)
		w.serve(w.Scanner, peer)
		w.nat("POSTROUTING", "-p", "tcp", "-d", peer.Addr().String(), "-j", "MASQUERADE", "--to-ports", "1001")
		source, order := w.source(), w.order()
		order.Bans = []portsnare.Ban{{Source: portsnare.BanPrefix(source), Until: time.Now().Add(time.Hour)}}
		w.noBridge()
		w.set(order)
		w.check(w.Server.Forward())
		early := w.source() // before anybody has told us that the host routes
		for port := uint16(1001); port <= 1004; port++ {
			w.check(w.Scanner.Send(netlab.Packet{Src: early, SrcPort: 30000, Dst: guest.addr, DstPort: port, Flags: netlab.SYN}))
		}
		w.check(w.Fence(w.soon(), w.fence))
		if w.banned(early) {
			t.Error("banned for what was forwarded")
		}
		w.wantNoHits(early)
		if !w.set(order) {
			t.Error("that the host routes now changed nothing")
		}

		for port := uint16(1001); port <= 1004; port++ {
			w.check(w.Scanner.Send(netlab.Packet{Src: source, SrcPort: 30000, Dst: guest.addr, DstPort: port, Flags: netlab.SYN}))
		}
		w.check(w.wire.Wait(w.soon(), 4, func(p netlab.Packet) bool {
			return !p.Outgoing && p.Src == guest.addr && p.Dst == source && p.Flags == netlab.RST|netlab.ACK
		}))
		c, err := guest.Dial(w.soon(), "tcp", guest.addr.String(), peer.String())
		w.check(err)
		defer c.Close()
		w.talk(c)
		for _, addr := range []netip.Addr{source, peer.Addr()} {
			w.wantNoHits(addr)
		}
		w.record("Routers", "what is forwarded to and from a guest, traps and a ban on its way", "passes, no hit")
	})
}

// noBridge keeps the rules of iptables off what bridges carry, as it is unless
// somebody loads br_netfilter.
func (w *world) noBridge() {
	w.t.Helper()
	for _, program := range []string{"iptables", "ip6tables"} {
		if _, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-" + program); err == nil {
			w.check(w.Server.Sysctl("net.bridge.bridge-nf-call-"+program, "0"))
		}
	}
}

// TestPublishedPort: what a host publishes for a container has no local socket,
// and its answers leave from another port. It is hidden and has friends all the
// same.
func TestPublishedPort(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		const published, inside = answering, 80
		guest := w.newGuest()
		w.check(w.Server.Forward())
		w.nat("PREROUTING", "-p", "tcp", "-m", "addrtype", "--dst-type", "LOCAL", "--dport", strconv.Itoa(published),
			"-j", "DNAT", "--to-destination", netip.AddrPortFrom(guest.addr, inside).String())
		w.serve(guest.Namespace, netip.AddrPortFrom(guest.addr, inside))
		order := w.order()
		order.Protected = order.Protected.Union(w.ports(portText(published)))
		w.set(order)
		friend, stranger := w.source(), w.source()
		w.probe(stranger, published)
		w.wantSilence(stranger)
		w.converse(friend, published)
		w.wantFriends(friendOf(published, friend, portsnare.FriendTime))

		order.Alarm = true
		w.set(order)
		w.forge(friend)
		if !w.banned(friend) {
			t.Error("not banned: nothing was forged")
		}
		w.converse(friend, published)
		if w.accepts(stranger, published) {
			t.Error("a stranger was served under an alarm")
		}
		w.record("Routers", "a hidden port that is a container's", "silent to strays, learns friends, obeys the alarm")
	})
}
