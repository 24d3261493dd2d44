//go:build linux

package netlab_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// families are the two ways through a Topology, each with a source that is the
// scanner's own and one that is forged.
var families = []struct {
	name                   string
	source, forged, server netip.Addr
}{
	{"IPv4", netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("192.0.2.200"), netlab.ServerAddr4},
	{"IPv6", netip.MustParseAddr("2001:db8:51:5::9"), netip.MustParseAddr("2001:db8:bad::1"), netlab.ServerAddr6},
}

func TestForgedPacketArrivesAndIsAnswered(t *testing.T) {
	lab := netlab.New(t)
	topology := lab.Topology()
	atServer := lab.Capture(topology.Server, netlab.Eth0)
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			syn := netlab.Packet{
				Src: f.forged, SrcPort: 40000, Dst: f.server, DstPort: 4242,
				Flags: netlab.SYN, Seq: 77, Payload: []byte("data"),
			}
			if err := topology.Scanner.Send(syn); err != nil {
				t.Fatal(err)
			}
			if err := topology.Fence(t.Context(), f.source); err != nil {
				t.Fatal(err)
			}
			got := packets(t, atServer, between(f.forged, f.server))
			if len(got) != 2 {
				t.Fatalf("server saw %v, want a SYN and its RST", got)
			}
			if in := got[0]; in.Outgoing || in.Flags != netlab.SYN || in.Seq != 77 || string(in.Payload) != "data" || in.Time.IsZero() {
				t.Errorf("arrived: %+v", in)
			}
			// The closed port answers, so the checksum was right.
			if out := got[1]; !out.Outgoing || out.Flags != netlab.RST|netlab.ACK || out.SrcPort != 4242 || out.Ack != 82 {
				t.Errorf("answered: %+v", out)
			}
		})
	}
}

func TestForgedUDPArrives(t *testing.T) {
	topology := netlab.New(t).Topology()
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			conn, err := topology.Server.ListenPacket("udp", netip.AddrPortFrom(f.server, 5353).String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			err = topology.Scanner.Send(netlab.Packet{
				Proto: netlab.UDP, Src: f.forged, SrcPort: 53, Dst: f.server, DstPort: 5353, Payload: []byte("hello"),
			})
			if err != nil {
				t.Fatal(err)
			}
			conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			buf := make([]byte, 64)
			n, from, err := conn.ReadFrom(buf)
			if err != nil || string(buf[:n]) != "hello" || from.String() != netip.AddrPortFrom(f.forged, 53).String() {
				t.Errorf("got %q from %v (%v)", buf[:n], from, err)
			}
		})
	}
}

// A fence must hold for every packet before it: here 20,000 SYNs from all
// processors, each answered by a RST that the scanner's interface has seen.
func TestFenceWaitsForEveryAnswer(t *testing.T) {
	lab := netlab.New(t)
	topology := lab.Topology()
	capture := lab.Capture(topology.Scanner, netlab.Eth0)
	const senders, each = 4, 5000
	done := make(chan error)
	f := families[0]
	for range senders {
		go func() {
			s, err := topology.Scanner.NewSender()
			if err != nil {
				done <- err
				return
			}
			defer s.Close()
			for i := 0; i < each && err == nil; i++ {
				err = s.Send(netlab.Packet{Src: f.source, SrcPort: 1, Dst: f.server, DstPort: uint16(i + 1), Flags: netlab.SYN})
			}
			done <- err
		}()
	}
	for range senders {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := topology.Fence(t.Context(), f.source); err != nil {
		t.Fatal(err)
	}
	answers := packets(t, capture, func(p netlab.Packet) bool { return p.Src == f.server && p.Flags&netlab.RST != 0 })
	if len(answers) != senders*each {
		t.Errorf("%d answers by the time of the fence, want %d", len(answers), senders*each)
	}
}

func TestFenceFailsWhenNothingPasses(t *testing.T) {
	topology := netlab.New(t).Topology()
	if err := topology.Cloud.SetLink(netlab.Inside, false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := topology.Fence(ctx, netlab.ScannerAddr4); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Fence = %v, want its deadline", err)
	}
}

func TestCaptureWait(t *testing.T) {
	lab := netlab.New(t)
	topology := lab.Topology()
	capture := lab.Capture(topology.Server, netlab.Eth0)
	f := families[0]
	isSYN := func(p netlab.Packet) bool { return p.Flags == netlab.SYN }

	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := capture.Wait(short, 1, isSYN); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait for nothing = %v, want its deadline", err)
	}
	waited := make(chan error)
	go func() { waited <- capture.Wait(t.Context(), 3, isSYN) }()
	for port := range 3 {
		p := netlab.Packet{Src: f.source, SrcPort: 9, Dst: f.server, DstPort: uint16(port + 1), Flags: netlab.SYN}
		if err := topology.Scanner.Send(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

// More than the ring holds, unread, must not pass as silence.
func TestCaptureAdmitsLoss(t *testing.T) {
	topology := netlab.New(t).Topology()
	capture, err := topology.Server.Capture(netlab.Eth0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := topology.Scanner.NewSender()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := families[0]
	for range 140_000 {
		if err := s.Send(netlab.Packet{Src: f.source, SrcPort: 9, Dst: f.server, DstPort: 9}); err != nil {
			t.Fatal(err)
		}
	}
	if err := capture.Close(); err == nil {
		t.Error("nothing lost out of 140,000 packets in a ring for 131,072, want an error")
	}
}

func TestCaptureNeedsAnInterface(t *testing.T) {
	ns := netlab.New(t).Namespace("a")
	if _, err := ns.Capture("eth9"); err == nil || errors.Is(err, os.ErrPermission) {
		t.Errorf("Capture of a missing interface = %v", err)
	}
}

func between(a, b netip.Addr) func(netlab.Packet) bool {
	return func(p netlab.Packet) bool { return p.Src == a && p.Dst == b || p.Src == b && p.Dst == a }
}

func packets(t *testing.T, c *netlab.Capture, match func(netlab.Packet) bool) []netlab.Packet {
	t.Helper()
	got, err := c.Packets(match)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
