package kerneltest

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

const ms = time.Millisecond

// knocks are SYNs of a source to the hidden port, each some time after the one
// before, and how many of them are answered.
type knocks struct {
	name  string
	gaps  []time.Duration
	plain bool           // none offers SACK, as no kernel of a client's does
	hops  bool           // each comes from the next port
	first uint16         // where the first of them goes to instead; 0 for nowhere else
	trap  portsnare.Port // touched after the first; the zero Port for none
	want  int
}

var (
	second     = []time.Duration{1000 * ms}
	secretTrap = portsnare.Port{Protocol: portsnare.TCP, Number: 1001}
	baitTrap   = portsnare.Port{Protocol: portsnare.TCP, Number: 2001}
	trapOfUDP  = portsnare.Port{Protocol: portsnare.UDP, Number: 1001}
)

// knocked is what delay makes of them.
var knocked = []knocks{
	{name: "a retransmit", gaps: second, want: 1},
	{name: "a duplicate after half a second", gaps: []time.Duration{500 * ms}},
	{name: "duplicates at once", gaps: []time.Duration{0, 0, 0}},
	{name: "without SACK, duplicates at once", gaps: []time.Duration{0, 0, 0}, plain: true},
	{name: "without SACK, duplicates at tenths of a second", gaps: slices.Repeat([]time.Duration{100 * ms}, 25), plain: true},
	{name: "without SACK, duplicates at seconds", gaps: slices.Repeat(second, 3), plain: true},
	{name: "without SACK, a retransmit after duplicates", gaps: []time.Duration{400 * ms, 1000 * ms, 2200 * ms}, plain: true, want: 1},
	{name: "a SYN from the next port", gaps: second, hops: true},
	{name: "a SYN from the port that tried another hidden port", gaps: second, first: answering},
	{name: "a duplicate, a secret trap in between", gaps: second, trap: secretTrap},
	{name: "a duplicate, a bait in between", gaps: second, trap: baitTrap},
	{name: "a duplicate, a UDP trap in between", gaps: second, trap: trapOfUDP},
}

// TestDelayed times what a client's kernel and a scanner do with the hidden port,
// where one strike bans and where it takes three.
func TestDelayed(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		for _, strikes := range []int{1, 3} {
			t.Run(fmt.Sprintf("K of %d", strikes), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, w.variant, w.family)
				order := w.order()
				order.Policy.Delay = true
				order.Policy.Strikes = strikes
				order.Protected = order.Protected.Union(w.ports(portText(answering)))
				w.set(order)
				for _, k := range knocked {
					w.run(t, k.name, k.test)
				}
			})
		}
	})
}

// test knocks. Where this machine is too slow to keep the times it tries again,
// as somebody else.
func (k knocks) test(w *world) {
	for range 20 {
		if answers, ok := k.knock(w, w.source()); ok {
			if answers != k.want {
				w.t.Errorf("%d answers, want %d", answers, k.want)
			}
			w.record("Alarm and delay", k.name, map[bool]string{true: "served", false: "not served"}[k.want > 0])
			return
		}
	}
	w.t.Fatal("this machine cannot keep time")
}

// knock returns how often a source was answered; ok is false if it did not knock
// at its times.
func (k knocks) knock(w *world, from netip.Addr) (answers int, ok bool) {
	syn := netlab.Packet{Src: from, SrcPort: 5000, DstPort: cmp.Or(k.first, hiddenPort), Flags: netlab.SYN, OfferSACK: !k.plain}
	w.send(syn)
	if k.trap.Number != 0 {
		w.send(netlab.Packet{Proto: netlab.Protocol(k.trap.Protocol), Src: from, DstPort: k.trap.Number, Flags: netlab.SYN})
	}
	syn.DstPort = hiddenPort
	for _, gap := range k.gaps {
		time.Sleep(gap) // time itself is what is tested
		if k.hops {
			syn.SrcPort++
		}
		w.send(syn)
	}
	for _, p := range w.answers(from) {
		if p.SrcPort == hiddenPort && p.Flags == netlab.SYN|netlab.ACK {
			answers++
		}
	}
	return answers, k.kept(w, from)
}

// kept reports whether a source's SYNs left at their times.
func (k knocks) kept(w *world, from netip.Addr) bool {
	sent, err := w.wire.Packets(func(p netlab.Packet) bool { return p.Outgoing && p.Src == from && p.DstPort != k.trap.Number })
	w.check(err)
	for i, gap := range k.gaps {
		if late := sent[i+1].Time.Sub(sent[i].Time) - gap; late < -20*ms || late > 100*ms {
			return false
		}
	}
	return true
}

// TestDelayOfFlood: when more strangers knock than can be remembered the late
// ones are served at once, or a flood of forged sources would shut everybody out.
func TestDelayOfFlood(t *testing.T) {
	const early, late, every = 68_000, 4_000, 20
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		order.Policy.Delay = true
		w.set(order)
		first, newcomer := w.source(), w.source()
		if w.serves(first) {
			t.Error("a first SYN was served: nobody has to knock twice")
		}
		s, err := w.Scanner.NewSender()
		w.check(err)
		defer s.Close()
		for n := range early + late {
			p := netlab.Packet{Src: w.stranger(n), SrcPort: 40000, Dst: w.server, DstPort: hiddenPort, Flags: netlab.SYN, OfferSACK: true}
			if n >= early && n%every == 0 {
				p.Src, p.SrcPort = newcomer, uint16(n/every)
			}
			w.check(s.Send(p))
		}
		if got := len(w.answers(newcomer)); got < late/every/2 {
			t.Errorf("%d of %d newcomers served, want most", got, late/every)
		}
		w.record("Alarm and delay", "72,000 strangers at once, delay", "most of the late ones served at once")
	})
}

// TestDelayOfThePublic: a port that the world knows is not delayed.
func TestDelayOfThePublic(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		order.Policy.Delay = true
		w.set(order)
		source := w.source()
		if !w.accepts(source, publicPort) || w.accepts(source, hiddenPort) {
			t.Error("want a SYN to the public port served, one to the hidden port not")
		}
		w.record("Alarm and delay", "the public port, delay", "served at once")
	})
}
