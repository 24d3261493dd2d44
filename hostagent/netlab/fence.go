//go:build linux

package netlab

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// The ICMP types of an echo, RFC 792 and RFC 4443.
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

// fences numbers the fences of this process, so that none takes another's
// answer for its own.
var fences atomic.Uint64

// Fence returns when the server has dealt with every packet sent to it before
// from the scanner's side, and its answers have arrived: a Capture anywhere on
// the way then holds them, and an answer that is not there was never given.
// Source is one of the scanner's addresses, not banned; its family decides which
// way is fenced. The cloud and the server must let an ICMP echo pass.
//
// The kernel carries a packet to its end on the processor that sent it, first
// come, first served. So an echo from each processor, answered, proves it.
func (t *Topology) Fence(ctx context.Context, source netip.Addr) error {
	target := ServerAddr4
	if source.Is6() {
		target = ServerAddr6
	}
	return t.Scanner.fence(ctx, Eth0, source, target)
}

func (ns *Namespace) fence(ctx context.Context, iface string, source, target netip.Addr) error {
	r, err := ns.openRing(iface, smallRing)
	if err != nil {
		return err
	}
	capture := &Capture{ring: r}
	defer capture.Close()
	mark := binary.BigEndian.AppendUint64([]byte("fence..."), fences.Add(1))
	var sent int
	err = ns.Do(func() (err error) {
		sent, err = onEachCPU(func() error { return ns.Send(echo(source, target, mark)) })
		return err
	})
	if err != nil {
		return ns.wrap("fence from", err)
	}
	err = capture.Wait(ctx, sent, func(p Packet) bool {
		return !p.Outgoing && isEchoReply(p) && p.Src == target && bytes.HasSuffix(p.Payload, mark)
	})
	if err != nil {
		return fmt.Errorf("fence from %s to %s: %w", source, target, err)
	}
	return nil
}

// echo is an ICMP echo request; its identifier and sequence number are zero.
func echo(source, target netip.Addr, mark []byte) Packet {
	p := Packet{Proto: ICMP, Type: echoRequest4, Src: source, Dst: target}
	if target.Is6() {
		p.Proto, p.Type = ICMPv6, echoRequest6
	}
	p.Payload = append(make([]byte, 4), mark...)
	return p
}

func isEchoReply(p Packet) bool {
	return p.Proto == ICMP && p.Type == echoReply4 || p.Proto == ICMPv6 && p.Type == echoReply6
}

// onEachCPU runs f once on every processor this thread may use and returns how
// many they were. The goroutine must be locked to its thread.
func onEachCPU(f func() error) (n int, err error) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return 0, err
	}
	defer unix.SchedSetaffinity(0, &all)
	for cpu, left := 0, all.Count(); left > 0; cpu++ {
		if !all.IsSet(cpu) {
			continue
		}
		left--
		var one unix.CPUSet
		one.Set(cpu)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			return n, err
		}
		if err := f(); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
