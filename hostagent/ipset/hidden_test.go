package ipset

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

func portString(port uint16) string { return strconv.Itoa(int(port)) }

// TestAlarm: strangers are kept off the hidden ports, and only off those.
func TestAlarm(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.serve()
		w.listen(netip.AddrPortFrom(w.server, 443))
		stranger, allowed := w.source(2), w.source(3)
		order.Allow = []netip.Prefix{portsnare.BanPrefix(allowed)}
		order.Alarm = true
		w.set(order)
		if w.open(stranger) {
			t.Error("a stranger reached a hidden port under an alarm")
		}
		if !w.open(allowed) {
			t.Error("an allowed source was kept off")
		}
		w.check(w.dial(w.soon(), stranger, 443))
		order.Alarm = false
		w.set(order)
		w.wantBanned(stranger, false)
	})
}

// synAt sends a SYN from a port of the source's, some time after a start, and
// reports whether it was answered.
func (w *world) synAt(start time.Time, after time.Duration, from netip.Addr, srcPort, port uint16) bool {
	w.t.Helper()
	time.Sleep(time.Until(start.Add(after))) // time itself is what is tested
	to := func() int {
		n := 0
		for _, p := range w.answers(from, port) {
			if p.DstPort == srcPort {
				n++
			}
		}
		return n
	}
	before := to()
	w.send(netlab.Packet{Src: from, SrcPort: srcPort, DstPort: port, Flags: netlab.SYN})
	return to() > before
}

// TestDelay: the retransmit of a SYN is admitted, a duplicate is not, nor is
// whoever has met a trap.
func TestDelay(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.serve()
		order.Policy.Delay = true
		w.set(order)
		start := time.Now()
		w.talk(w.source(2), servicePort)
		if took := time.Since(start); took < 900*time.Millisecond {
			t.Errorf("the first connection took %s, want a second", took)
		}
		start = time.Now()
		w.talk(w.source(2), servicePort) // is a friend now
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("a friend's connection took %s", took)
		}

		hasty, struck, other := w.source(3), w.source(4), w.source(5)
		start = time.Now()
		steps := []struct {
			after   time.Duration
			from    netip.Addr
			srcPort uint16
			port    uint16
			want    bool
		}{
			{0, hasty, 5001, 22, false},
			{0, struck, 5001, 22, false},
			{0, other, 5001, 22, false},
			{0, other, 5001, servicePort, false}, // from the same port: nmap -g
			{300 * time.Millisecond, hasty, 5001, 22, false},
			{600 * time.Millisecond, hasty, 5001, 22, false},
			{1000 * time.Millisecond, other, 5002, 22, false}, // from another port: nmap
			{1000 * time.Millisecond, hasty, 5001, 22, false},
			{1000 * time.Millisecond, other, 5001, servicePort, true},
			{1900 * time.Millisecond, hasty, 5001, 22, true},
		}
		w.syn(struck, 2001) // a bait
		for i, step := range steps {
			if got := w.synAt(start, step.after, step.from, step.srcPort, step.port); got != step.want {
				t.Errorf("step %d, %s:%d to %d after %s: answered %t, want %t", i, step.from, step.srcPort, step.port, step.after, got, step.want)
			}
		}
		if w.synAt(start, 2*time.Second, struck, 5001, 22) {
			t.Error("a source with a strike was admitted")
		}
	})
}

// TestDelayOfFlood: more SYNs than can be looked at pass, or a flood of forged
// sources would shut everybody out.
func TestDelayOfFlood(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.order("1001-1009/tcp", "")
		order.Policy.Delay = true
		w.set(order)
		s, err := w.Scanner.NewSender()
		w.check(err)
		defer s.Close()
		start := time.Now()
		const sent = 20_000
		for n := range uint16(sent) {
			w.check(s.Send(netlab.Packet{Src: w.source(2), SrcPort: 10_000 + n, Dst: w.server, DstPort: 22, Flags: netlab.SYN}))
		}
		answered := len(w.answers(w.source(2), 22))
		delayed := 1000 + int(1000*time.Since(start).Seconds())
		if least := sent - delayed; answered < least*9/10 || answered > sent-1000 {
			t.Errorf("%d of %d answered, want about %d", answered, sent, least)
		}
	})
}

// TestStraysToHiddenPorts: what belongs to no conversation is not answered.
func TestStraysToHiddenPorts(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		control, source := w.source(2), w.source(3)
		strays := func(from netip.Addr) {
			for _, flags := range strays {
				w.send(netlab.Packet{Src: from, DstPort: protectedPort, Flags: flags})
			}
		}
		strays(control)
		if got := len(w.answers(control, 0)); got < 3 { // RST to ACK, Maimon, SYN+ACK
			t.Fatalf("without us a listening port gave %d answers, want at least 3", got)
		}
		w.set(w.order("1001-1009/tcp", ""))
		strays(source)
		w.silent(source)
		w.wantBanned(source, false)
	})
}

// TestLostTracking: a conversation goes on although tracking has lost it,
// whoever speaks first, on a hidden port.
func TestLostTracking(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.set(w.serve())
		c := w.connect(w.source(2), servicePort)
		defer c.Close()
		for range 3 {
			w.check(w.Server.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) }))
			w.echo(c)
		}
	})
}

// TestSYNCookies: a handshake of which the server keeps nothing.
func TestSYNCookies(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		w.check(w.Server.Sysctl("net.ipv4.tcp_syncookies", "2"))
		w.set(w.serve())
		w.talk(w.source(2), servicePort)
		w.wantFriend(w.source(2), servicePort, portsnare.FriendTime)
	})
}
