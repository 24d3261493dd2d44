package kerneltest

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// rival is what stands on the server while packets are measured.
type rival struct {
	name string // for a unit, so without blanks
	variant
	arm func(w *world)
}

// rivals are measured side by side. The first is the floor: what it costs to
// send a packet to the server and to drop it there at the first opportunity. The
// bare ones are the least that a ban can be, one look into one set; figures of two
// machines can be compared by them.
var rivals = []rival{
	{"floor", defenceless, ingressDrop},
	{"nothing", defenceless, func(*world) {}},
	{"readme", defenceless, readmeRules},
	{"bare-ipset", defenceless, bareIPSet},
	{"bare-nft", defenceless, bareNFT},
	{"ipset-nft", ipsetNFT, armed},
	{"ipset-legacy", ipsetLegacy, armed},
	{"nftables", nftablesOwn, armed},
}

func armed(w *world) { w.set(w.order()) }

func ingressDrop(w *world) {
	w.feed(`table netdev floor {
	chain floor { type filter hook ingress device "eth0" priority 0; policy drop; }
}
`, "nft", "-f", "-")
}

func bareIPSet(w *world) {
	w.feed("create banned hash:ip timeout 3600\nadd banned "+culprit.String()+"\n", "ipset", "restore")
	w.feed("*raw\n-A PREROUTING -m set --match-set banned src -j DROP\nCOMMIT\n", "iptables-restore")
}

func bareNFT(w *world) {
	w.feed(`table ip bare {
	set banned { type ipv4_addr; size 65536; flags dynamic,timeout; elements = { `+culprit.String()+` timeout 1h }; }
	chain early { type filter hook prerouting priority raw; ip saddr @banned drop; }
}
`, "nft", "-f", "-")
}

// readmeRules are what the README of EtherDream/anti-portscan describes: every
// port that is not public is a trap, a source that has sent more than three
// SYNs to traps within 30 seconds is shut out, and a segment of no connection
// is dropped.
func readmeRules(w *world) {
	w.feed(`create public bitmap:port range 0-65535
add public 443
add public 5022
create scanners hash:ip timeout 30 counters maxelem 6553590
`, "ipset", "restore")
	w.feed(`*filter
:INPUT ACCEPT [0:0]
:TRAP - [0:0]
-A INPUT -i eth0 -p tcp --syn -m set ! --match-set public dst -j TRAP
-A INPUT -i eth0 -p tcp --syn -m set ! --update-counters --match-set scanners src --packets-gt 3 -j DROP
-A INPUT -i eth0 -p tcp ! --syn -m conntrack ! --ctstate ESTABLISHED,RELATED -j DROP
-A TRAP -m set --match-set scanners src -j DROP
-A TRAP -j SET --add-set scanners src
-A TRAP -j DROP
COMMIT
`, "iptables-restore")
}

// lane is a rival's own world, with a way to send into it.
type lane struct {
	*world
	sender *netlab.Sender
	load   load
	sent   int
	costs  []float64 // ns a packet, of each round
}

// newLane builds a world for a rival, without a watch, which would cost.
func newLane(b *testing.B, r rival, l load) *lane {
	install(b, r.iptables)
	w := &world{Topology: netlab.New(b).Topology(), family: ipv4, variant: r.variant, t: b, b: r.open(), shared: new(shared)}
	for _, port := range []uint16{hiddenPort, publicPort} {
		w.serve(w.Server, netip.AddrPortFrom(w.server, port))
	}
	sender, err := w.Scanner.NewSender()
	w.check(err)
	b.Cleanup(func() { sender.Close() })
	lane := &lane{world: w, sender: sender, load: l}
	if l.open != nil && r.name == "floor" { // nobody can open anything afterwards
		lane.load = l.open(w)
	}
	r.arm(w)
	if l.open != nil && r.name != "floor" {
		lane.load = l.open(w)
	}
	return lane
}

// send sends so many packets of the load and returns what one cost. On a virtual
// cable the sender's thread does all the work that a packet causes, and its own
// clock stands still while others have the processor.
func (l *lane) send(packets int) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, p := range l.load.before {
		l.check(l.sender.Send(p))
	}
	start := l.threadTime()
	for range packets {
		p := l.load.packet(l.sent)
		p.Dst = l.server
		l.check(l.sender.Send(p))
		l.sent++
	}
	return (l.threadTime() - start) / time.Duration(packets)
}

func (w *world) threadTime() time.Duration {
	var now unix.Timespec
	w.check(unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now))
	return time.Duration(now.Nano())
}

// load is packets of one kind.
type load struct {
	name   string
	before []netlab.Packet           // sent at the begin of each round
	packet func(n int) netlab.Packet // the n-th
	open   func(w *world) load       // completes the load
}

var loads = []load{
	{name: "banned source", before: strikes, packet: func(n int) netlab.Packet {
		return netlab.Packet{Src: culprit, SrcPort: uint16(1024 + n%60000), DstPort: hiddenPort, Flags: netlab.SYN}
	}},
	{name: "flood of a million sources", packet: forged},
	{name: "SYN to the hidden port", packet: func(n int) netlab.Packet {
		client := netip.AddrFrom4([4]byte{198, 51, 100, byte(10 + n%200)})
		return netlab.Packet{Src: client, SrcPort: uint16(1024 + n/200%60000), DstPort: hiddenPort, Flags: netlab.SYN}
	}},
	{name: "established flow", open: establish},
}

// forged is the n-th SYN of a flood: from one of a million sources that are
// nobody's, to one of a hundred traps.
func forged(n int) netlab.Packet {
	n %= 1_000_000
	return netlab.Packet{
		Src:     netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}),
		SrcPort: 40000, DstPort: uint16(1001 + n%100), Flags: netlab.SYN,
	}
}

// culprit has himself banned by every rival: eight SYNs to distinct traps.
var (
	culprit = netip.MustParseAddr("198.51.100.2")
	strikes = func() (packets []netlab.Packet) {
		for port := uint16(1001); port <= 1008; port++ {
			packets = append(packets, netlab.Packet{Src: culprit, Dst: netlab.ServerAddr4, SrcPort: 2000, DstPort: port, Flags: netlab.SYN})
		}
		return packets
	}()
)

// establish opens a connection; the load repeats its last ACK, which asks for no
// answer.
func establish(w *world) load {
	wire, err := w.Scanner.Capture(netlab.Eth0)
	w.check(err)
	defer wire.Close()
	client := w.source()
	w.talk(w.dial(client, hiddenPort))
	w.check(w.Fence(w.soon(), w.fence))
	sent, err := wire.Packets(func(p netlab.Packet) bool { return p.Outgoing && p.Src == client && p.Flags == netlab.ACK })
	w.check(err)
	last := sent[len(sent)-1]
	last.Payload = nil
	return load{packet: func(int) netlab.Packet { return last }}
}

// BenchmarkPacket measures what a packet costs, net of the floor, which comes
// with it. An operation is a round of all rivals, and the figures are medians of
// the rounds: -benchtime 7x makes seven.
func BenchmarkPacket(b *testing.B) {
	const packets = 100_000
	for _, load := range loads {
		b.Run(load.name, func(b *testing.B) {
			var lanes []*lane
			for _, r := range rivals {
				lanes = append(lanes, newLane(b, r, load))
			}
			for b.Loop() {
				for _, l := range lanes {
					l.costs = append(l.costs, float64(l.send(packets).Nanoseconds()))
				}
			}
			floor := median(lanes[0].costs)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(floor, "floor-ns")
			for i, r := range rivals[1:] {
				b.ReportMetric(median(lanes[i+1].costs)-floor, r.name+"-ns")
			}
		})
	}
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// BenchmarkMemory measures by how much the kernel's memory has grown after a
// flood of a million sources.
func BenchmarkMemory(b *testing.B) {
	flood := load{packet: forged}
	for _, r := range rivals[1:] {
		b.Run(r.name, func(b *testing.B) {
			for b.Loop() {
				l := newLane(b, r, flood)
				before := l.kernelMemory()
				l.send(1_000_000)
				b.ReportMetric(float64(l.kernelMemory()-before)/1024, "MB")
			}
		})
	}
}

// kernelMemory returns what the kernel itself has taken, in KiB.
func (w *world) kernelMemory() (kib int) {
	w.t.Helper()
	f, err := os.Open("/proc/meminfo")
	w.check(err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var name string
		var size int
		if n, _ := fmt.Sscan(lines.Text(), &name, &size); n == 2 && slices.Contains([]string{"SUnreclaim:", "VmallocUsed:", "Percpu:"}, name) {
			kib += size
		}
	}
	return kib
}

// BenchmarkRotate measures from the order to armed traps, of which none stays.
func BenchmarkRotate(b *testing.B) {
	for _, traps := range []int{1_000, 10_000} {
		for _, v := range defences {
			b.Run(fmt.Sprintf("%d traps/%s", traps, strings.ReplaceAll(v.name, ", ", "-")), func(b *testing.B) {
				l := newLane(b, rival{variant: v, arm: func(*world) {}}, load{})
				orders := [2]kernel.State{l.order(), l.order()}
				for i := range orders {
					orders[i].Generation += portsnare.Generation(i)
					orders[i].Traps = portsnare.Traps{Secret: every(6, 3*i, traps)}
					l.set(orders[i])
				}
				for n := 0; b.Loop(); n++ {
					l.set(orders[n%2])
				}
			})
		}
	}
}

// BenchmarkFirstOrder measures the same on a server that has nothing yet.
func BenchmarkFirstOrder(b *testing.B) {
	for _, v := range defences {
		b.Run(strings.ReplaceAll(v.name, ", ", "-"), func(b *testing.B) {
			l := newLane(b, rival{variant: v, arm: func(*world) {}}, load{})
			order := l.order()
			order.Traps = portsnare.Traps{Secret: every(6, 0, 1_000)}
			for b.Loop() {
				l.set(order)
				b.StopTimer()
				l.do(func(ctx context.Context) error { return l.b.Flush(ctx) })
				b.StartTimer()
			}
		})
	}
}

// every returns so many ports, each step from the last, none of them protected.
func every(step, offset, ports int) portsnare.PortSet {
	var found []portsnare.Port
	for n := range ports {
		found = append(found, portsnare.Port{Protocol: portsnare.TCP, Number: uint16(1024 + offset + n*step)})
	}
	return portsnare.PortSetOf(found...).Minus(portsnare.PortSetOf(portsnare.Port{Protocol: portsnare.TCP, Number: hiddenPort}))
}
