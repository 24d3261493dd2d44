package demo

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"slices"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// scanRate is how fast the SYN scanner sends, in probes a second: the whole
// port space in a few seconds.
const scanRate = 20000

// scanner is one kind of scan of the whole port space.
type scanner struct {
	name  string
	order string          // as told to the reader
	ports func() []uint16 // in the order of probing; nil where the scanner has an order of its own
	rate  int             // probes a second; 0 for as many as it can
	run   func(ctx context.Context, ns *netlab.Namespace, o netlab.ScanOptions) (netlab.ScanResult, error)
	round int // the only rotation during which it runs; 0 for every one
}

// scanners returns our own two, which need nothing installed, and the real
// ones, which are slower and run only once each with Portsnare. In random order
// the place of the traps makes no difference, only their number; in ascending
// order (RustScan, nmap -r) only the place does.
func scanners() []scanner {
	all := []scanner{
		{name: "syn scan", order: "random order", ports: shuffled, rate: scanRate, run: netlab.SYNScan},
		{name: "connect scan", order: "ascending", ports: ascending, run: netlab.ConnectScan},
		{name: "nmap", order: "28 popular first", rate: scanRate / 2, run: nmap, round: 1},
		{name: "masscan", order: "random order", rate: scanRate, run: masscan, round: 2},
	}
	return slices.DeleteFunc(all, func(s scanner) bool {
		_, err := exec.LookPath(s.name)
		return s.ports == nil && err != nil
	})
}

func shuffled() []uint16 {
	return netlab.Shuffled(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), 1, 65535)
}

func ascending() []uint16 { return netlab.Ascending(1, 65535) }

func nmap(ctx context.Context, ns *netlab.Namespace, o netlab.ScanOptions) (netlab.ScanResult, error) {
	return netlab.Nmap(ctx, ns, o, "-sS", "--max-retries", "0")
}

func masscan(ctx context.Context, ns *netlab.Namespace, o netlab.ScanOptions) (netlab.ScanResult, error) {
	return netlab.Masscan(ctx, ns, o)
}

// Scan is what one scan came to.
type Scan struct {
	Scanner        string `json:"scanner"`
	Order          string `json:"order"`
	Source         string `json:"source"`
	Round          int    `json:"round"` // 0: without Portsnare; else during this rotation
	Probes         int    `json:"probes"`
	ProtectedFound bool   `json:"protected_found"`
	Banned         bool   `json:"banned"`
	// ProbesBeforeBan counts the ports probed up to the trap that made the ban;
	// absent where the scanner does not tell its order.
	ProbesBeforeBan int     `json:"probes_before_ban,omitempty"`
	Seconds         float64 `json:"seconds"`

	ports []uint16 // in the order of probing; nil if unknown
}

// scan runs one scan of the server from an address of its own.
func (w *World) scan(ctx context.Context, s scanner, round int, source netip.Addr) (Scan, error) {
	target := netlab.ServerAddr4
	if source.Is6() {
		target = netlab.ServerAddr6
	}
	o := netlab.ScanOptions{Source: source, Target: target, Ports: ascending(), Rate: s.rate, Timeout: 500 * time.Millisecond}
	var order []uint16
	if s.ports != nil {
		order = s.ports()
		o.Ports = order
	}
	result, err := s.run(ctx, w.net.Scanner, o)
	return Scan{
		Scanner: s.name, Order: s.order, Source: source.String(), Round: round, Probes: result.Probes,
		ProtectedFound: result.Found(w.hidden.Number), Seconds: result.Took.Seconds(), ports: order,
	}, err
}

// convict fills in the ban of the scan's source, if there is one.
func (s *Scan) convict(bans []portsnare.Ban) {
	source := portsnare.BanPrefix(netip.MustParseAddr(s.Source))
	for _, b := range bans {
		if b.Source != source {
			continue
		}
		s.Banned = true
		if n := len(b.Hits); n > 0 && s.ports != nil {
			s.ProbesBeforeBan = 1 + slices.Index(s.ports, b.Hits[n-1].Port.Number)
		}
	}
}
