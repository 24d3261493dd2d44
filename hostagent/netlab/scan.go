//go:build linux

package netlab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// Defaults of ScanOptions.
const (
	scanTimeout  = 500 * time.Millisecond
	scanParallel = 8192
)

// ScanOptions tell a scanner what to do. Source, Target and Ports are required.
type ScanOptions struct {
	Source, Target netip.Addr    // of one family
	Ports          []uint16      // distinct, in the order of probing
	Iface          string        // the scanner's, towards the target; Eth0 if empty
	Rate           int           // probes a second; 0: as many as can be
	Retries        int           // further probes for a port that stays silent
	Timeout        time.Duration // how long an answer is waited for; 500 ms if zero
	Parallel       int           // connections tried at once by ConnectScan; 8192 if zero
}

// Ascending returns the ports from lo to hi, the order of RustScan and of nmap -r.
func Ascending(lo, hi uint16) []uint16 {
	ports := make([]uint16, 0, int(hi)-int(lo)+1)
	for p := int(lo); p <= int(hi); p++ {
		ports = append(ports, uint16(p))
	}
	return ports
}

// Descending returns the ports from hi to lo.
func Descending(hi, lo uint16) []uint16 {
	ports := Ascending(lo, hi)
	slices.Reverse(ports)
	return ports
}

// Shuffled returns the ports from lo to hi in random order, as masscan and
// zmap do and nmap after its first 28.
func Shuffled(rng *rand.Rand, lo, hi uint16) []uint16 {
	ports := Ascending(lo, hi)
	rng.Shuffle(len(ports), func(i, j int) { ports[i], ports[j] = ports[j], ports[i] })
	return ports
}

// ScanResult is what a scan found. Probes, Closed and FoundAfter were read off
// the wire, so they mean the same for every scanner.
type ScanResult struct {
	Scanner    string         // "syn", "connect", "nmap" or "masscan"
	Probes     int            // SYNs that left for the target, repeated ones included
	Open       []uint16       // what the scanner itself reports, ascending
	Closed     []uint16       // ports that answered by RST, ascending
	FoundAfter map[uint16]int // by port: Probes when its SYN-ACK came
	Took       time.Duration
}

// Found reports whether a port gave itself away: the scanner reports it open,
// or a SYN-ACK of it reached the scanner, even if that overlooked it.
func (r ScanResult) Found(port uint16) bool {
	_, answered := r.FoundAfter[port]
	return answered || slices.Contains(r.Open, port)
}

// watch is the wire tap of one scan.
type watch struct {
	ring     *ring
	o        ScanOptions
	result   ScanResult
	answered map[uint16]Flags // by port: the first answer
	began    time.Time
}

// watch starts to watch the packets of a scan. The caller must Close its ring.
func (ns *Namespace) watch(scanner string, o ScanOptions) (*watch, error) {
	if o.Source.Is4() != o.Target.Is4() || !o.Source.IsValid() {
		return nil, fmt.Errorf("scan from %s to %s: want two addresses of one family", o.Source, o.Target)
	}
	r, err := ns.openRing(o.iface(), ringSize)
	if err != nil {
		return nil, err
	}
	return &watch{
		ring:     r,
		o:        o,
		result:   ScanResult{Scanner: scanner, FoundAfter: map[uint16]int{}},
		answered: map[uint16]Flags{},
		began:    time.Now(),
	}, nil
}

// see takes note of one packet.
func (w *watch) see(p Packet) {
	switch {
	case p.Proto != TCP:
	case p.Outgoing && p.Flags == SYN && p.Src == w.o.Source && p.Dst == w.o.Target:
		w.result.Probes++
	case !p.Outgoing && p.Src == w.o.Target && p.Dst == w.o.Source:
		w.answer(p)
	}
}

// answer takes note of a port's first answer.
func (w *watch) answer(p Packet) {
	if _, known := w.answered[p.SrcPort]; known {
		return
	}
	switch {
	case p.Flags == SYN|ACK:
		w.result.FoundAfter[p.SrcPort] = w.result.Probes
	case p.Flags&RST == 0:
		return
	}
	w.answered[p.SrcPort] = p.Flags
}

// during runs f and watches until f has returned. The context f gets ends
// early if packets are lost.
func (w *watch) during(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx); cancel() }()
	lost := w.until(ctx, func() bool { return false })
	cancel()
	return errors.Join(<-done, lost)
}

// until watches until done or the end of ctx; its error is about lost packets.
func (w *watch) until(ctx context.Context, done func() bool) error {
	var lost error
	w.ring.wait(ctx, func() bool {
		lost = w.ring.drain(w.see)
		return lost != nil || done()
	})
	if lost != nil {
		return lost
	}
	return w.ring.drain(w.see) // what came together with the end
}

// rounds has scan probe the ports, and again those that stayed silent. After
// each round it waits up to linger for the answers to the last probes.
func (w *watch) rounds(ctx context.Context, linger time.Duration, scan func(context.Context, []uint16) error) error {
	silent := w.o.Ports
	for range 1 + w.o.Retries {
		err := w.during(ctx, func(ctx context.Context) error { return scan(ctx, silent) })
		if err != nil {
			return err
		}
		if err := w.linger(ctx, linger); err != nil {
			return err
		}
		silent = slices.DeleteFunc(slices.Clone(silent), func(port uint16) bool {
			_, answered := w.answered[port]
			return answered
		})
	}
	return nil
}

// linger watches until every port has answered, but no longer than limit.
func (w *watch) linger(ctx context.Context, limit time.Duration) error {
	short, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := w.until(short, func() bool { return len(w.answered) >= len(w.o.Ports) })
	return errors.Join(err, ctx.Err())
}

// report completes the result. Open is what the scanner reports.
func (w *watch) report(open []uint16) ScanResult {
	r := w.result
	r.Open = slices.Sorted(slices.Values(open))
	for _, port := range slices.Sorted(maps.Keys(w.answered)) {
		if w.answered[port]&RST != 0 {
			r.Closed = append(r.Closed, port)
		}
	}
	r.Took = time.Since(w.began)
	return r
}

func (o ScanOptions) iface() string {
	if o.Iface == "" {
		return Eth0
	}
	return o.Iface
}

func (o ScanOptions) timeout() time.Duration {
	if o.Timeout == 0 {
		return scanTimeout
	}
	return o.Timeout
}

// due is when probe number n may leave, given when the first one did.
func (o ScanOptions) due(start time.Time, n int) time.Time {
	if o.Rate == 0 {
		return start
	}
	return start.Add(time.Duration(n) * time.Second / time.Duration(o.Rate))
}

// pause waits for the time of the next probe. A wait below a millisecond is
// left to be made up for later: timers are not that fine.
func pause(ctx context.Context, until time.Time) error {
	ahead := time.Until(until)
	if ahead < time.Millisecond {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(ahead):
		return nil
	}
}
