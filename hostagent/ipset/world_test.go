package ipset

import (
	"context"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }

// protectedPort is where the server of every world listens.
const protectedPort = 22

// ipFamily is the scanner's and the server's addresses of one family.
type ipFamily struct {
	name    string
	server  netip.Addr
	scanner netip.Addr // from which fences come; never misbehaves
	prefix  string     // begins the addresses of sources, which take n
	suffix  string
}

var (
	ipv4 = ipFamily{"ipv4", netlab.ServerAddr4, netlab.ScannerAddr4, "198.51.100.", ""}
	ipv6 = ipFamily{"ipv6", netlab.ServerAddr6, netlab.ScannerAddr6, "2001:db8:51:", "::1"}
)

// source returns the n-th source, n from 2 to 250; in IPv6 each has a /64 of
// its own.
func (f ipFamily) source(n int) netip.Addr {
	return netip.MustParseAddr(f.prefix + strconv.Itoa(n) + f.suffix)
}

// world is a scanner and a server that a backend defends.
type world struct {
	*netlab.Topology
	ipFamily
	t       testing.TB
	b       *Backend
	wire    *netlab.Capture // at the scanner: all that is sent and answered
	srcPort atomic.Uint32
}

// inWorlds runs a test for both families, with the iptables the host has.
func inWorlds(t *testing.T, test func(t *testing.T, w *world)) {
	for _, f := range []ipFamily{ipv4, ipv6} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t, f, Options{}))
		})
	}
}

func newWorld(t testing.TB, f ipFamily, opts Options) *world {
	lab := netlab.New(t)
	w := &world{Topology: lab.Topology(), ipFamily: f, t: t, b: New(opts)}
	w.wire = lab.Capture(w.Scanner, netlab.Eth0)
	w.srcPort.Store(20000)
	w.listen(netip.AddrPortFrom(f.server, protectedPort))
	return w
}

// listen accepts connections on the server and closes them.
func (w *world) listen(at netip.AddrPort) {
	w.t.Helper()
	l, err := w.Server.Listen("tcp", at.String())
	w.check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	w.t.Cleanup(func() { l.Close(); <-done })
}

// order is an order with the traps given, three strikes in a minute.
func (w *world) order(secret, bait string) portsnare.Order {
	return portsnare.Order{
		Host: "server", Group: "lab", Generation: 1,
		Traps:         portsnare.Traps{Secret: portSet(w.t, secret), Bait: portSet(w.t, bait)},
		Protected:     portSet(w.t, "22/tcp"),
		Policy:        portsnare.Policy{Strikes: 3, Window: time.Minute, BanMin: 10 * time.Minute, BanMax: time.Hour},
		CloudFirewall: true,
	}
}

func (w *world) set(order portsnare.Order) (changed bool) {
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
	w.check(w.Server.Do(func() error { return f(w.t.Context()) }))
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
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
		p.SrcPort = uint16(w.srcPort.Add(1))
	}
	w.check(w.Scanner.Send(p))
}

// answers returns what the server has sent back to a source from a port, once
// everything before has been dealt with. From any port if it is 0.
func (w *world) answers(to netip.Addr, port uint16) []netlab.Packet {
	w.t.Helper()
	w.check(w.Fence(w.soon(), w.scanner))
	found, err := w.wire.Packets(func(p netlab.Packet) bool {
		return !p.Outgoing && p.Dst == to && (port == 0 || p.SrcPort == port)
	})
	w.check(err)
	return found
}

// silent fails the test if anything was ever sent back to the source.
func (w *world) silent(to netip.Addr) {
	w.t.Helper()
	if got := w.answers(to, 0); len(got) > 0 {
		w.t.Errorf("%s was answered: %v, want silence", to, got)
	}
}

// open reports whether the protected port answers a new SYN of the source.
func (w *world) open(from netip.Addr) bool {
	w.t.Helper()
	before := len(w.synAcks(from))
	w.syn(from, protectedPort)
	return len(w.synAcks(from)) > before
}

func (w *world) synAcks(to netip.Addr) (found []netlab.Packet) {
	for _, p := range w.answers(to, protectedPort) {
		if p.Flags == netlab.SYN|netlab.ACK {
			found = append(found, p)
		}
	}
	return found
}

// wantBanned fails the test unless the source is shut out, as the wire and the
// backend see it, or is not.
func (w *world) wantBanned(from netip.Addr, want bool) {
	w.t.Helper()
	_, listed := w.bans()[portsnare.BanPrefix(from)]
	if listed != want {
		w.t.Errorf("%s among the bans: %t, want %t", from, listed, want)
	}
	if got := !w.open(from); got != want {
		w.t.Errorf("%s shut out: %t, want %t", from, got, want)
	}
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

// wantDropped fails the test unless so many packets of a banned source have been
// dropped.
func (w *world) wantDropped(from netip.Addr, want uint64) {
	w.t.Helper()
	w.do(func(ctx context.Context) error {
		dropped, err := w.b.Dropped(ctx)
		if got := dropped[portsnare.BanPrefix(from)]; got != want {
			w.t.Errorf("%d packets of %s dropped, want %d", got, from, want)
		}
		return err
	})
}

// soon returns a context for what takes no time unless something is wrong.
func (w *world) soon() context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	w.t.Cleanup(cancel)
	return ctx
}

// output runs a program on the server and returns what it says, without
// comments, which hold the time, and the counters of chains.
func (w *world) output(program string, args ...string) string {
	w.t.Helper()
	out, err := w.Server.Command(w.t.Context(), program, args...).Output()
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
	cmd := w.Server.Command(w.t.Context(), program, args...)
	cmd.Stdin = strings.NewReader(text)
	_, err := cmd.Output()
	w.check(err)
}
