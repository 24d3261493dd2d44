//go:build linux

package netlab_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/portsnare/portsnare/hostagent/netlab"
	"golang.org/x/sys/unix"
)

type scanner func(context.Context, *netlab.Namespace, netlab.ScanOptions) (netlab.ScanResult, error)

// scanners are our own; within is the time each should take for all 65,535 ports.
var scanners = []struct {
	name   string
	scan   scanner
	within time.Duration
}{
	{"syn", netlab.SYNScan, 4 * time.Second},
	{"connect", netlab.ConnectScan, 8 * time.Second},
}

func TestScanFindsExactlyWhatListens(t *testing.T) {
	topology := netlab.New(t).Topology()
	open := []uint16{1022, 1080, 1443}
	ports := netlab.Shuffled(rand.New(rand.NewPCG(1, 2)), 1000, 1999)
	for _, f := range families {
		listen(t, topology.Server, f.server, open...)
		for _, s := range scanners {
			t.Run(f.name+" "+s.name, func(t *testing.T) {
				got, err := s.scan(t.Context(), topology.Scanner, netlab.ScanOptions{
					Source: f.source, Target: f.server, Ports: ports,
				})
				if err != nil {
					t.Fatal(err)
				}
				want := netlab.ScanResult{
					Scanner: s.name, Probes: 1000, Open: open, Closed: without(netlab.Ascending(1000, 1999), open),
					FoundAfter: got.FoundAfter, Took: got.Took,
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				checkFoundAfter(t, got, ports, open)
			})
		}
	}
}

// All ports, whether they answer or not. A busy machine may take three times as
// long as it should, and the kernel then repeats some SYNs of the connect scan.
func TestScanOfAllPorts(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 1<<14 {
		t.Skipf("open files are limited to %d, want 16384 for a fast connect scan (%v)", limit.Cur, err)
	}
	topology := netlab.New(t).Topology()
	listen(t, topology.Server, netlab.ServerAddr4, 39172)
	tests := []struct {
		name         string
		target       netip.Addr
		open, closed int
	}{
		{"answering", netlab.ServerAddr4, 1, 65534},
		{"silent", blackhole(t, topology, "203.0.113.99"), 0, 0},
	}
	for _, tt := range tests {
		for _, s := range scanners {
			t.Run(tt.name+" "+s.name, func(t *testing.T) {
				got, err := s.scan(t.Context(), topology.Scanner, netlab.ScanOptions{
					Source: netlab.ScannerAddr4, Target: tt.target, Ports: netlab.Descending(65535, 1),
				})
				if err != nil {
					t.Fatal(err)
				}
				if got.Probes < 65535 || s.name == "syn" && got.Probes > 65535 || len(got.Open) != tt.open || len(got.Closed) != tt.closed {
					t.Errorf("%d probes, %d open, %d closed; want 65535, %d, %d",
						got.Probes, len(got.Open), len(got.Closed), tt.open, tt.closed)
				}
				if got.Took > 3*s.within {
					t.Errorf("took %v, want at most %v", got.Took, s.within)
				}
			})
		}
	}
}

func TestScanRepeatsForSilentPortsOnly(t *testing.T) {
	topology := netlab.New(t).Topology()
	silent := blackhole(t, topology, "203.0.113.99")
	for _, s := range scanners {
		t.Run(s.name, func(t *testing.T) {
			for target, want := range map[netip.Addr]int{silent: 300, netlab.ServerAddr4: 100} {
				got, err := s.scan(t.Context(), topology.Scanner, netlab.ScanOptions{
					Source: netlab.ScannerAddr4, Target: target, Ports: netlab.Ascending(1, 100),
					Retries: 2, Timeout: 20 * time.Millisecond,
				})
				if err != nil || got.Probes != want {
					t.Errorf("%s: %d probes (%v), want %d", target, got.Probes, err, want)
				}
			}
		})
	}
}

func TestScanKeepsItsRateAndOrder(t *testing.T) {
	lab := netlab.New(t)
	topology := lab.Topology()
	ports := []uint16{7, 3, 65535, 1, 9}
	for i, s := range scanners {
		t.Run(s.name, func(t *testing.T) {
			source := netip.AddrFrom4([4]byte{198, 51, 100, byte(20 + i)})
			capture := lab.Capture(topology.Server, netlab.Eth0)
			_, err := s.scan(t.Context(), topology.Scanner, netlab.ScanOptions{
				Source: source, Target: netlab.ServerAddr4, Ports: ports, Rate: 50,
			})
			if err != nil {
				t.Fatal(err)
			}
			probes := packets(t, capture, func(p netlab.Packet) bool { return p.Src == source && p.Flags == netlab.SYN })
			var order []uint16
			for _, p := range probes {
				order = append(order, p.DstPort)
			}
			if !slices.Equal(order, ports) {
				t.Fatalf("probed %v, want %v", order, ports)
			}
			if took := probes[4].Time.Sub(probes[0].Time); took < 78*time.Millisecond {
				t.Errorf("5 probes at 50 a second within %v, want 80 ms", took)
			}
			sources := map[uint16]bool{}
			for _, p := range probes {
				sources[p.SrcPort] = true
			}
			if want := map[string]int{"syn": 1, "connect": 5}[s.name]; len(sources) != want {
				t.Errorf("%d source ports, want %d", len(sources), want)
			}
		})
	}
}

func TestScanEndsWithItsContext(t *testing.T) {
	topology := netlab.New(t).Topology()
	silent := blackhole(t, topology, "203.0.113.99")
	for _, s := range scanners {
		t.Run(s.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			got, err := s.scan(ctx, topology.Scanner, netlab.ScanOptions{
				Source: netlab.ScannerAddr4, Target: silent, Ports: netlab.Ascending(1, 65535), Rate: 1000,
			})
			if !errors.Is(err, context.DeadlineExceeded) || got.Probes == 0 || got.Took > 2*time.Second {
				t.Errorf("%d probes in %v (%v), want some and the deadline", got.Probes, got.Took, err)
			}
		})
	}
}

func TestScanRefusesMixedFamilies(t *testing.T) {
	topology := netlab.New(t).Topology()
	for _, s := range scanners {
		_, err := s.scan(t.Context(), topology.Scanner, netlab.ScanOptions{
			Source: netlab.ScannerAddr4, Target: netlab.ServerAddr6, Ports: []uint16{1},
		})
		if err == nil {
			t.Errorf("%s from IPv4 to IPv6: no error", s.name)
		}
	}
}

func TestOrders(t *testing.T) {
	if diff := cmp.Diff([]uint16{65533, 65534, 65535}, netlab.Ascending(65533, 65535)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]uint16{3, 2, 1}, netlab.Descending(3, 1)); diff != "" {
		t.Error(diff)
	}
	a := netlab.Shuffled(rand.New(rand.NewPCG(1, 1)), 1, 65535)
	b := netlab.Shuffled(rand.New(rand.NewPCG(1, 1)), 1, 65535)
	c := netlab.Shuffled(rand.New(rand.NewPCG(1, 2)), 1, 65535)
	if !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Error("the order must follow from the seed alone")
	}
	slices.Sort(a)
	if !slices.Equal(a, netlab.Ascending(1, 65535)) {
		t.Error("a shuffled order is not a permutation")
	}
}

func TestRealScanners(t *testing.T) {
	topology := netlab.New(t).Topology()
	open := []uint16{22, 80}
	tests := []struct {
		name  string
		blind bool // overlooks answers: only the wire is sure
		scan  scanner
	}{
		{"nmap -sS", false, program(netlab.Nmap)},
		{"nmap -sT", false, program(netlab.Nmap, "-sT")},
		{"masscan", true, program(netlab.Masscan)},
	}
	for _, f := range families {
		listen(t, topology.Server, f.server, open...)
		for _, tt := range tests {
			t.Run(f.name+" "+tt.name, func(t *testing.T) {
				got, err := tt.scan(t.Context(), topology.Scanner, netlab.ScanOptions{
					Source: f.source, Target: f.server, Ports: netlab.Ascending(20, 90), Rate: 1000,
				})
				if errors.Is(err, netlab.ErrNotInstalled) {
					t.Skip(err)
				}
				if err != nil {
					t.Fatal(err)
				}
				if !tt.blind && !slices.Equal(got.Open, open) {
					t.Errorf("reports %v open, want %v", got.Open, open)
				}
				if want := without(netlab.Ascending(20, 90), open); !slices.Equal(got.Closed, want) {
					t.Errorf("closed: %v, want %v", got.Closed, want)
				}
				if got.Probes < 71 || !got.Found(22) || !got.Found(80) || got.Found(21) {
					t.Errorf("after %d probes found %v", got.Probes, got.FoundAfter)
				}
			})
		}
	}
}

// program binds the arguments of a real scanner.
func program(scan func(context.Context, *netlab.Namespace, netlab.ScanOptions, ...string) (netlab.ScanResult, error), args ...string) scanner {
	return func(ctx context.Context, ns *netlab.Namespace, o netlab.ScanOptions) (netlab.ScanResult, error) {
		return scan(ctx, ns, o, args...)
	}
}

// checkFoundAfter demands that an open port was found no earlier than probed.
func checkFoundAfter(t *testing.T, r netlab.ScanResult, order, open []uint16) {
	t.Helper()
	for i, port := range order {
		after, found := r.FoundAfter[port]
		if found != slices.Contains(open, port) || found != r.Found(port) {
			t.Errorf("port %d: found %v", port, found)
		}
		if found && (after < i+1 || after > r.Probes) {
			t.Errorf("port %d found after %d probes, it was probe %d", port, after, i+1)
		}
	}
}

// blackhole makes the cloud drop all that is sent to an address.
func blackhole(t *testing.T, topology *netlab.Topology, address string) netip.Addr {
	t.Helper()
	a := netip.MustParseAddr(address)
	if err := topology.Cloud.Blackhole(netip.PrefixFrom(a, a.BitLen())); err != nil {
		t.Fatal(err)
	}
	return a
}

func without(ports, these []uint16) []uint16 {
	return slices.DeleteFunc(ports, func(p uint16) bool { return slices.Contains(these, p) })
}

// listen serves the ports until the test ends.
func listen(t *testing.T, ns *netlab.Namespace, addr netip.Addr, ports ...uint16) {
	t.Helper()
	for _, port := range ports {
		l, err := ns.Listen("tcp", netip.AddrPortFrom(addr, port).String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go accept(l)
	}
}

func accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		conn.Close()
	}
}
