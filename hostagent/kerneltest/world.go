package kerneltest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// The ports of every world.
const (
	hiddenPort = 5022 // protected
	publicPort = 443  // protected, and known to the world
)

// family is the server's and the scanner's addresses of one family.
type family struct {
	name    string
	digit   string // as in the names of sets
	server  netip.Addr
	gateway netip.Addr
	fence   netip.Addr // from which fences come; never misbehaves
	prefix  string     // begins the addresses of sources, which take n
	suffix  string
}

var (
	ipv4 = family{"IPv4", "4", netlab.ServerAddr4, netlab.GatewayAddr4, netlab.ScannerAddr4, "198.51.100.", ""}
	ipv6 = family{"IPv6", "6", netlab.ServerAddr6, netlab.GatewayAddr6, netlab.ScannerAddr6, "2001:db8:51:", "::1"}

	families = []family{ipv4, ipv6}
)

// stranger returns the n-th address that is nobody's (RFC 2544, and of IPv6 a
// /64 each), n below 131,072.
func (f family) stranger(n int) netip.Addr {
	if f.server.Is4() {
		return netip.AddrFrom4([4]byte{198, 18 + byte(n>>16), byte(n >> 8), byte(n)})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0xf, byte(n >> 16), byte(n >> 8), byte(n), 15: 1})
}

// world is a scanner and a server that a backend defends. Several cases share
// one, each with sources of its own.
type world struct {
	*netlab.Topology
	family
	variant
	t testing.TB
	b Backend
	*shared
}

// shared is what the cases of a world have in common.
type shared struct {
	wire    *netlab.Capture // at the scanner: all that is sent and answered
	log     *logbook
	sources atomic.Uint32
	marks   atomic.Uint32
	srcPort atomic.Uint32
}

// newWorld builds a world in which nothing is armed yet.
func newWorld(t testing.TB, v variant, f family) *world {
	lab := netlab.New(t)
	w := &world{Topology: lab.Topology(), family: f, variant: v, t: t, b: v.open(), shared: new(shared)}
	w.check(v.mark(w.Server))
	w.wire = lab.Capture(w.Scanner, netlab.Eth0)
	w.log = w.newLogbook()
	w.sources.Store(1)
	w.srcPort.Store(20000)
	w.serve(w.Server, netip.AddrPortFrom(f.server, hiddenPort))
	w.serve(w.Server, netip.AddrPortFrom(f.server, publicPort))
	return w
}

// run runs a case of the world as a subtest, at the same time as the others.
func (w *world) run(t *testing.T, name string, test func(w *world)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		own := *w
		own.t = t
		test(&own)
	})
}

// source returns an address of the scanner's that nobody has used; in IPv6
// each has a /64 of its own.
func (w *world) source() netip.Addr {
	n := w.sources.Add(1)
	if n > 250 {
		w.t.Fatal("no address is left")
	}
	return netip.MustParseAddr(w.prefix + strconv.Itoa(int(n)) + w.suffix)
}

// serve listens and sends back what it gets.
func (w *world) serve(where *netlab.Namespace, at netip.AddrPort) {
	w.t.Helper()
	l, err := where.Listen("tcp", at.String())
	w.check(err)
	var serving sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			serving.Go(func() { io.Copy(c, c); c.Close() })
		}
	})
	w.t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
}

// The traps of an order, all of them TCP and UDP. Scanners sweep popular and
// near; innocents have to do with far.
const (
	popular  = "21/tcp,23/tcp,25/tcp,80/tcp,110/tcp,139/tcp,445/tcp,3389/tcp" // nmap tries them first
	near     = "5012-5021/tcp,5023-5031/tcp"                                  // around the hidden port
	far      = "1001-1200/tcp"
	bait     = "2001-2009/tcp"
	trapsUDP = "123/udp,1001-1200/udp,5012-5031/udp"
)

// order has traps on all of these, three strikes in an hour.
func (w *world) order() kernel.State {
	return kernel.State{Order: portsnare.Order{
		Host: "server", Group: "lab", Generation: 1,
		Traps: portsnare.Traps{
			Secret:     w.ports(popular + "," + far + "," + trapsUDP),
			Neighbours: w.ports(near),
			Bait:       w.ports(bait),
		},
		Protected:     w.ports(portText(hiddenPort) + "," + portText(publicPort)),
		Public:        w.ports(portText(publicPort)),
		Policy:        portsnare.Policy{Strikes: 3, Window: time.Hour, BanMin: 10 * time.Minute, BanMax: 24 * time.Hour},
		CloudFirewall: true,
	}}
}

func portText(port uint16) string { return strconv.Itoa(int(port)) + "/tcp" }

func (w *world) ports(text string) portsnare.PortSet {
	w.t.Helper()
	ports, err := portsnare.ParsePortSet(text)
	w.check(err)
	return ports
}

func (w *world) set(order kernel.State) (changed bool) {
	w.t.Helper()
	w.do(func(ctx context.Context) (err error) {
		changed, err = w.b.Set(ctx, order)
		return err
	})
	return changed
}

// do runs f in the server's namespace.
func (w *world) do(f func(context.Context) error) {
	w.t.Helper()
	w.check(w.Server.Do(func() error { return f(context.Background()) }))
}

func (w *world) check(err error) {
	w.t.Helper()
	switch {
	case errors.Is(err, netlab.ErrNotInstalled):
		notInstalled(w.t, err)
	case err != nil:
		w.t.Fatal(err)
	}
}

// soon returns a context for what takes no time unless something is wrong.
func (w *world) soon() context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	w.t.Cleanup(cancel)
	return ctx
}

// await waits for what comes by itself, and soon.
func (w *world) await(what string, done func() bool) {
	w.t.Helper()
	for ctx := w.soon(); !done(); {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			w.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// syn sends a SYN from a source to each port, each from a new source port.
func (w *world) syn(from netip.Addr, ports ...uint16) {
	w.t.Helper()
	for _, port := range ports {
		w.send(netlab.Packet{Src: from, DstPort: port, Flags: netlab.SYN})
	}
}

// send sends a packet to the server, from a new source port unless it has one.
func (w *world) send(p netlab.Packet) {
	w.t.Helper()
	p.Dst = w.server
	if p.SrcPort == 0 {
		p.SrcPort = uint16(20000 + w.srcPort.Add(1)%40000)
	}
	w.check(w.Scanner.Send(p))
}

// flood sends one SYN to a trap from each of many forged sources.
func (w *world) flood(port uint16, sources int) {
	w.t.Helper()
	s, err := w.Scanner.NewSender()
	w.check(err)
	defer s.Close()
	for n := range sources {
		w.check(s.Send(netlab.Packet{Src: w.stranger(n), SrcPort: 40000, Dst: w.server, DstPort: port, Flags: netlab.SYN}))
	}
	w.check(w.Fence(w.soon(), w.fence))
}

// answers returns what the server's side has sent back to a source, once
// everything before has been dealt with.
func (w *world) answers(to netip.Addr) []netlab.Packet {
	w.t.Helper()
	w.check(w.Fence(w.soon(), w.fence))
	found, err := w.wire.Packets(func(p netlab.Packet) bool { return !p.Outgoing && p.Dst == to })
	w.check(err)
	return found
}

// serves reports whether the hidden port answers a new SYN of the source.
func (w *world) serves(from netip.Addr) bool { return w.accepts(from, hiddenPort) }

func (w *world) accepts(from netip.Addr, port uint16) bool {
	w.t.Helper()
	srcPort := uint16(20000 + w.srcPort.Add(1)%40000)
	w.send(netlab.Packet{Src: from, SrcPort: srcPort, DstPort: port, Flags: netlab.SYN})
	for _, p := range w.answers(from) {
		if p.DstPort == srcPort && p.SrcPort == port && p.Flags == netlab.SYN|netlab.ACK {
			return true
		}
	}
	return false
}

// bans returns the end of each ban.
func (w *world) bans() map[netip.Prefix]time.Time {
	w.t.Helper()
	until := map[netip.Prefix]time.Time{}
	w.do(func(ctx context.Context) error {
		bans, err := w.b.Bans(ctx)
		for _, b := range bans {
			until[b.Source] = b.Until
		}
		return err
	})
	return until
}

func (w *world) banned(source netip.Addr) bool {
	w.t.Helper()
	_, banned := w.bans()[portsnare.BanPrefix(source)]
	return banned
}

// wantBanned fails the test unless the source is shut out, as the backend and
// the wire see it, or is not.
func (w *world) wantBanned(source netip.Addr, want bool) {
	w.t.Helper()
	if got := w.banned(source); got != want {
		w.t.Errorf("%s among the bans: %t, want %t", source, got, want)
	}
	if got := w.serves(source); got == want {
		w.t.Errorf("%s served: %t, want %t", source, got, !want)
	}
}

// dial connects from an address of the scanner's, by its kernel, and closes the
// connection when the test ends.
func (w *world) dial(from netip.Addr, port uint16) net.Conn {
	w.t.Helper()
	c, err := w.Scanner.Dial(w.soon(), "tcp", from.String(), netip.AddrPortFrom(w.server, port).String())
	w.check(err)
	w.t.Cleanup(func() { c.Close() })
	return c
}

// talk proves that a connection works both ways.
func (w *world) talk(c net.Conn) {
	w.t.Helper()
	const text = "still here"
	w.check(c.SetDeadline(time.Now().Add(10 * time.Second)))
	_, err := io.WriteString(c, text)
	w.check(err)
	_, err = io.ReadFull(c, make([]byte, len(text)))
	w.check(err)
}

// output runs a program on the server and returns what it says, without the
// comments, which hold the time, and the packet counts of built-in chains.
func (w *world) output(program string, args ...string) string {
	w.t.Helper()
	out, err := w.Server.Command(w.soon(), program, args...).Output()
	w.check(err)
	var b strings.Builder
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			before, _, _ := strings.Cut(line, " [")
			b.WriteString(strings.TrimRight(before, "\n") + "\n")
		}
	}
	return b.String()
}

// feed runs a program on the server that reads text.
func (w *world) feed(text, program string, args ...string) {
	w.t.Helper()
	cmd := w.Server.Command(w.soon(), program, args...)
	cmd.Stdin = strings.NewReader(text)
	_, err := cmd.Output()
	w.check(err)
}
