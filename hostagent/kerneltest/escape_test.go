package kerneltest

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// The scan of BenchmarkEscape: none of these ports is among those that nmap moves to
// the front, so its order is random.
const (
	escapeFrom, escapeTo = 10_001, 30_000
	escapeHidden         = 20_022
	escapeTraps          = 130
)

// BenchmarkEscape has nmap scan 20,000 ports again and again, each time against other
// traps, and counts how often it finds the hidden port. It must be K in T+1 scans:
// foretold/scan. Beside it stand what was lost on the way: hits that the agent's
// socket had no room for, and packets that the kernel dropped before it looked at
// them (softnet_stat), on the whole machine. BUSY_LOOPS keeps so many processors busy.
//
//	go test ./hostagent/kerneltest -run '^$' -bench Escape -benchtime 200x -timeout 4h
//	BUSY_LOOPS=2 go test ./hostagent/kerneltest -run '^$' -bench Escape -benchtime 200x -timeout 4h
func BenchmarkEscape(b *testing.B) {
	loops, err := strconv.Atoi(cmp.Or(os.Getenv("BUSY_LOOPS"), "0"))
	if err != nil {
		b.Fatal(err)
	}
	for _, v := range defences {
		b.Run(strings.ReplaceAll(v.name, ", ", "-"), func(b *testing.B) {
			install(b, v.iptables)
			v.iptables = ""
			w := newWorld(b, v, ipv4)
			w.serve(w.Server, netip.AddrPortFrom(w.server, escapeHidden))
			b.Cleanup(keepBusy(loops))
			scanner, rng := w.source(), rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
			dropped, found, probed := softnetDropped(b), 0, 0
			for b.Loop() {
				result := w.escape(scanner, rng)
				if result.Found(escapeHidden) {
					found++
				}
				probed += escapeTo - escapeFrom + 1
			}
			b.ReportMetric(float64(found)/float64(b.N), "found/scan")
			b.ReportMetric(float64(w.order().Policy.Strikes)/(escapeTraps+1), "foretold/scan")
			b.ReportMetric(float64(w.log.len())/float64(b.N), "logged/scan")
			b.ReportMetric(float64(w.log.reader.Lost()), "nflog-lost")
			b.ReportMetric(float64(softnetDropped(b)-dropped), "softnet-dropped")
			b.Logf("%d of %d scans found the hidden port; %d ports probed beside %d busy loops", found, b.N, probed, loops)
		})
	}
}

// escape runs one scan against new traps, by a source of whom nothing is known.
func (w *world) escape(from netip.Addr, rng *rand.Rand) netlab.ScanResult {
	w.t.Helper()
	w.do(w.b.Flush)
	w.set(w.escapeOrder(rng))
	result, err := netlab.Nmap(context.Background(), w.Scanner, netlab.ScanOptions{
		Source: from, Target: w.server, Ports: netlab.Ascending(escapeFrom, escapeTo), Rate: 5000,
	}, "-sS", "-T4", "--max-retries", "1")
	if errors.Is(err, netlab.ErrNotInstalled) {
		w.t.Skip(err)
	}
	w.check(err)
	return result
}

// escapeOrder has traps anywhere among the ports that are scanned.
func (w *world) escapeOrder(rng *rand.Rand) kernel.State {
	order := w.order()
	drawn := map[uint16]bool{escapeHidden: true}
	var traps []portsnare.Port
	for len(traps) < escapeTraps {
		n := uint16(escapeFrom + rng.IntN(escapeTo-escapeFrom+1))
		if !drawn[n] {
			drawn[n] = true
			traps = append(traps, portsnare.Port{Protocol: portsnare.TCP, Number: n})
		}
	}
	order.Traps = portsnare.Traps{Secret: portsnare.PortSetOf(traps...)}
	order.Protected, order.Public = w.ports(portText(escapeHidden)), portsnare.PortSet{}
	return order
}

// keepBusy has so many loops do nothing, as fast as they can, until stop is called.
func keepBusy(loops int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + loops) // or they would take the place of the agent
	for range loops {
		go func() {
			for ctx.Err() == nil {
			}
		}()
	}
	return func() {
		cancel()
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - loops)
	}
}

// softnetDropped returns how many packets the machine has dropped because a backlog
// was full: the second number, in hex, of each processor's line.
func softnetDropped(b *testing.B) (dropped uint64) {
	b.Helper()
	text, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			b.Fatalf("softnet_stat: %q", line)
		}
		n, err := strconv.ParseUint(fields[1], 16, 64)
		if err != nil {
			b.Fatal(err)
		}
		dropped += n
	}
	return dropped
}
