//go:build linux

package netlab

import (
	"context"
	"maps"
	"slices"
	"time"
)

// synPort is the one port a SYNScan comes from.
const synPort = 61000

// SYNScan sends bare SYNs from one source port, like masscan and nmap -sS: a
// SYN-ACK means open, a RST closed, silence filtered. The scanner's own kernel,
// which knows nothing of the scan, answers a SYN-ACK by RST, as theirs do. When
// ctx ends first, the result so far comes with the error.
func SYNScan(ctx context.Context, ns *Namespace, o ScanOptions) (ScanResult, error) {
	w, err := ns.watch("syn", o)
	if err != nil {
		return ScanResult{}, err
	}
	defer w.ring.Close()
	s, err := ns.NewSender()
	if err != nil {
		return ScanResult{}, err
	}
	defer s.Close()
	err = w.rounds(ctx, o.timeout(), func(ctx context.Context, ports []uint16) error {
		return sendSYNs(ctx, s, o, ports)
	})
	return w.report(slices.Collect(maps.Keys(w.result.FoundAfter))), err
}

// sendSYNs probes the ports, in order and at the rate of the options.
func sendSYNs(ctx context.Context, s *Sender, o ScanOptions, ports []uint16) error {
	start := time.Now()
	for n, port := range ports {
		if err := pause(ctx, o.due(start, n)); err != nil {
			return err
		}
		err := s.Send(Packet{Src: o.Source, SrcPort: synPort, Dst: o.Target, DstPort: port, Flags: SYN, Seq: uint32(port)})
		if err != nil {
			return err
		}
	}
	return nil
}
