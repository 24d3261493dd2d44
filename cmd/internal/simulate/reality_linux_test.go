package simulate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/ipset"
	program "github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/netlab"
	"github.com/portsnare/portsnare/rotator/placement"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }

// recordedPorts is the port space that the real scanners are given.
const recordedPorts = 4000

// scanner is one that others wrote.
type scanner func(context.Context, *netlab.Namespace, netlab.ScanOptions, ...string) (netlab.ScanResult, error)

// record runs a real scanner in namespaces, where nothing answers, and returns
// the ports in the order in which their first SYNs left, and how many SYNs did.
func record(t *testing.T, scan scanner, rate int) (order []int, probes int) {
	t.Helper()
	lab := netlab.New(t)
	world := lab.Topology()
	wire := lab.Capture(world.Scanner, netlab.Eth0)
	result, err := scan(t.Context(), world.Scanner, netlab.ScanOptions{
		Source: netlab.ScannerAddr4, Target: netlab.ServerAddr4, Ports: netlab.Ascending(1, recordedPorts), Rate: rate,
	})
	if errors.Is(err, netlab.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	packets, err := wire.Packets(func(p netlab.Packet) bool {
		return p.Outgoing && p.Flags == netlab.SYN && p.Dst == netlab.ServerAddr4
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := make([]bool, recordedPorts+1)
	for _, p := range packets {
		if !seen[p.DstPort] {
			seen[p.DstPort] = true
			order = append(order, int(p.DstPort))
		}
	}
	if len(order) != recordedPorts {
		t.Fatalf("%s probed %d ports of %d", result.Scanner, len(order), recordedPorts)
	}
	return order, len(packets)
}

// TestNmapOrder: as [Nmap] has it, the leaders in random order, then the others.
func TestNmapOrder(t *testing.T) {
	t.Parallel()
	order, _ := record(t, netlab.Nmap, 5000)
	list, leaders := placement.Popular()
	var want []int
	for _, p := range list[:leaders] {
		if p <= recordedPorts {
			want = append(want, int(p))
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(order[:len(want)])); !slices.Equal(got, want) {
		t.Errorf("nmap began with %v, want %v", got, want)
	}
	wantRandom(t, order[len(want):])
	replay(t, order, Scan{Order: Nmap})
}

// TestMasscanOrder: as [Shuffled] has it, every port once.
func TestMasscanOrder(t *testing.T) {
	t.Parallel()
	order, probes := record(t, netlab.Masscan, 5000)
	if probes != recordedPorts {
		t.Errorf("masscan sent %d SYNs for %d ports, want one each", probes, recordedPorts)
	}
	wantRandom(t, order)
	replay(t, order, Scan{Order: Shuffled})
}

// wantRandom fails the test if rank and port go together, or a port and the next.
func wantRandom(t *testing.T, order []int) {
	t.Helper()
	ranks := make([]float64, len(order))
	values := make([]float64, len(order))
	for i, p := range order {
		ranks[i], values[i] = float64(i), float64(p)
	}
	limit := 4 / math.Sqrt(float64(len(order)))
	if r := correlation(ranks, values); math.Abs(r) > limit {
		t.Errorf("rank and port correlate by %.3f, want within %.3f", r, limit)
	}
	if r := correlation(values[1:], values[:len(values)-1]); math.Abs(r) > limit {
		t.Errorf("a port and the next correlate by %.3f, want within %.3f", r, limit)
	}
}

func correlation(x, y []float64) float64 {
	n := float64(len(x))
	var sx, sy, sxx, syy, sxy float64
	for i := range x {
		sx, sy = sx+x[i], sy+y[i]
		sxx, syy, sxy = sxx+x[i]*x[i], syy+y[i]*y[i], sxy+x[i]*y[i]
	}
	return (n*sxy - sx*sy) / math.Sqrt((n*sxx-sx*sx)*(n*syy-sy*sy))
}

// replay plays a recorded order against many sets, and the model of the same
// scan as often: both must reach as many hidden ports.
func replay(t *testing.T, recorded []int, model Scan) {
	t.Helper()
	const runs = 2000 / thin
	rng := rand.New(rand.NewPCG(6, 6))
	real, modelled := 0, 0
	for range runs {
		hidden := 1 + rng.IntN(recordedPorts)
		if reached(t, rng, recorded, hidden) {
			real++
		}
		if reached(t, rng, model.order(rng), hidden) {
			modelled++
		}
	}
	a, b := float64(real)/runs, float64(modelled)/runs
	sd := math.Sqrt((a*(1-a) + b*(1-b)) / runs)
	t.Logf("replayed: %.4f reached, modelled %.4f", a, b)
	if math.Abs(a-b) > 4*sd {
		t.Errorf("replayed: %.4f reached, modelled %.4f, want within %.4f", a, b, 4*sd)
	}
}

// order returns the recorded ports as the model of a scan has them.
func (s Scan) order(rng *rand.Rand) []int {
	s.Rate, s.Sources = 1, 1
	a := s.aim(rng, 1)
	at := make([]float64, recordedPorts+1)
	order := make([]int, recordedPorts)
	for i := range order {
		order[i] = i + 1
		at[i+1], _, _ = a.step(i + 1)
	}
	slices.SortFunc(order, func(x, y int) int { return cmp.Compare(at[x], at[y]) })
	return order
}

func reached(t *testing.T, rng *rand.Rand, order []int, hidden int) bool {
	t.Helper()
	var traps Traps
	spec := placement.Spec{Openings: 12, Ports: 60, Bait: 2}
	if err := Ours(spec, smallWorld(hidden, recordedPorts)).Draw(rng, &traps); err != nil {
		t.Fatal(err)
	}
	kind, b := trapMap(traps), bans{rules: Rules{Policy: portsnare.DefaultPolicy()}}
	for i, p := range order {
		if p == hidden {
			return true
		}
		if fires, isTrap := kind[p]; isTrap {
			if b.hit(probe{at: float64(i) / 1000, fires: fires}); b.count > 0 {
				return false
			}
		}
	}
	return false
}

// smallWorld is a terrain that ends at a port.
func smallWorld(hidden, last int) placement.Terrain {
	port := portsnare.Port{Protocol: portsnare.TCP, Number: uint16(hidden)}
	beyond := portsnare.PortRange{Protocol: portsnare.TCP, From: uint16(last + 1), To: ports}
	return placement.Terrain{Hidden: portsnare.PortSetOf(port), Avoid: portsnare.NewPortSet(beyond), Budget: 60}
}

// TestRealKernel scans 300 ports of a server that the kernel program defends, in
// random order, 200 times, each time from a new source and against a new set.
// What it finds must be what the simulation of the same scan predicts.
func TestRealKernel(t *testing.T) {
	t.Parallel()
	const space, hidden, runs = 300, 151, 200 / min(thin, 4)
	spec := placement.Spec{Neighbours: 4, Radius: 8, Bait: 3, Openings: 6, Ports: 14}
	terrain := smallWorld(hidden, space)
	world := defended(t, hidden)

	rng := rand.New(rand.NewPCG(7, 7))
	found := 0
	for n := range runs {
		traps, err := placement.Draw(rng, spec, terrain)
		if err != nil {
			t.Fatal(err)
		}
		world.arm(traps, terrain.Hidden)
		source := netip.AddrFrom4([4]byte{198, 51, 100, byte(5 + n)})
		result, err := netlab.SYNScan(t.Context(), world.Scanner, netlab.ScanOptions{
			Source: source, Target: netlab.ServerAddr4, Ports: netlab.Shuffled(rng, 1, space), Timeout: 30 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		if result.Found(hidden) {
			found++
		}
		for p := range traps.Ports().All() {
			if _, answered := result.FoundAfter[p.Number]; answered || slices.Contains(result.Closed, p.Number) {
				t.Fatalf("trap %s answered", p)
			}
		}
	}

	scan := Scan{Order: Around, Span: space, Rate: 10_000, Sources: 1}
	predicted, err := Trials(t.Context(), rng, 40_000/thin, scan, Ours(spec, terrain), []int{hidden}, Rules{Policy: portsnare.DefaultPolicy()})
	if err != nil {
		t.Fatal(err)
	}
	p := predicted.Share
	half := 3.5 * math.Sqrt(p*(1-p)/runs) // 0.05 % of honest runs lie outside
	got := float64(found) / runs
	t.Logf("the kernel let %.3f through (%d of %d), predicted %.3f, closed form %.3f", got, found, runs, p, placement.Random(18, 3, 3))
	if math.Abs(got-p) > half {
		t.Errorf("the kernel let %.3f through, predicted %.3f within %.3f", got, p, half)
	}
}

// kernel is a server that the kernel program defends.
type kernel struct {
	*netlab.Topology
	t          *testing.T
	backend    *ipset.Backend
	generation portsnare.Generation
}

func defended(t *testing.T, hidden uint16) *kernel {
	t.Helper()
	k := &kernel{Topology: netlab.New(t).Topology(), t: t, backend: ipset.New(ipset.Options{})}
	if err := k.Server.Do(func() error { return k.backend.Check(t.Context()) }); err != nil {
		t.Skipf("the kernel program cannot work here: %v", err)
	}
	listener, err := k.Server.Listen("tcp", fmt.Sprintf("%s:%d", netlab.ServerAddr4, hidden))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return k
}

func (k *kernel) arm(traps portsnare.Traps, protected portsnare.PortSet) {
	k.t.Helper()
	k.generation++
	order := portsnare.Order{
		Host: "server", Group: "lab", Generation: k.generation, Traps: traps, Protected: protected,
		Policy: portsnare.DefaultPolicy(), CloudFirewall: true,
	}
	err := k.Server.Do(func() error {
		_, err := k.backend.Set(k.t.Context(), program.State{Order: order})
		return err
	})
	if err != nil {
		k.t.Fatal(err)
	}
}
