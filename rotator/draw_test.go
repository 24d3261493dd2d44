package rotator

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/portsnare/portsnare"
)

func set(t testing.TB, s string) portsnare.PortSet {
	t.Helper()
	ports, err := portsnare.ParsePortSet(s)
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

var defaultSpec = Spec{Neighbours: 8, Radius: 16, Bait: 10, Openings: 30, Ports: 400}

func TestDraw(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		name    string
		terrain Terrain
	}{
		{"one port", Terrain{Hidden: set(t, "22/tcp"), Budget: 58}},
		{"at the low end", Terrain{Hidden: set(t, "1/tcp"), Budget: 58}},
		{"at the high end", Terrain{Hidden: set(t, "65535/tcp"), Budget: 58}},
		{"close together", Terrain{Hidden: set(t, "22/tcp,24/tcp,30/tcp"), Budget: 90}},
		{"little room", Terrain{Hidden: set(t, "22/tcp,8443/tcp"), Budget: 12}},
		{"least room", Terrain{Hidden: set(t, "22/tcp"), Budget: 3}},
		{"much to avoid", Terrain{Hidden: set(t, "22/tcp"), Avoid: set(t, "1-20000/tcp,30000-65535/tcp"), Budget: 58}},
		{"crumbs", Terrain{Hidden: set(t, "22/tcp"), Avoid: set(t, "1-21/tcp,23-40000/tcp,40002-65535/tcp"), Budget: 58}},
		{"hidden udp has no neighbours", Terrain{Hidden: set(t, "443/udp"), Budget: 58}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 200 {
				traps, err := Draw(rng, defaultSpec, tt.terrain)
				if err != nil {
					t.Fatal(err)
				}
				checkDraw(t, traps, tt.terrain)
			}
		})
	}
}

func checkDraw(t *testing.T, traps portsnare.Traps, terrain Terrain) {
	t.Helper()
	ports := traps.Ports()
	if both := ports.Intersect(terrain.Avoid.Union(terrain.Hidden)); !both.Empty() {
		t.Fatalf("%s was to be avoided", both)
	}
	if n := len(ports.Ranges()); n == 0 || n > terrain.Budget {
		t.Fatalf("%d openings, budget %d", n, terrain.Budget)
	}
	if sum := traps.Neighbours.Len() + traps.Bait.Len() + traps.Secret.Len(); sum != ports.Len() {
		t.Fatalf("a port is in two classes: %d in classes, %d in all", sum, ports.Len())
	}
}

func TestDrawGivesWhatWasAskedFor(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		traps, err := Draw(rng, defaultSpec, Terrain{Hidden: set(t, "39172/tcp"), Budget: 58})
		if err != nil {
			t.Fatal(err)
		}
		below := traps.Neighbours.Intersect(set(t, "39156-39171/tcp")).Len()
		above := traps.Neighbours.Intersect(set(t, "39173-39188/tcp")).Len()
		if below != 4 || above != 4 || traps.Bait.Len() != 10 || traps.Secret.Len() != 400 {
			t.Fatalf("%d below, %d above, %d bait, %d secret; want 4, 4, 10, 400",
				below, above, traps.Bait.Len(), traps.Secret.Len())
		}
	}
}

// TestDrawLeavesNoLongGap: a sweep of any four strata meets two secret ranges.
func TestDrawLeavesNoLongGap(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		traps, err := Draw(rng, defaultSpec, Terrain{Hidden: set(t, "22/tcp"), Budget: 58})
		if err != nil {
			t.Fatal(err)
		}
		last := 0
		for _, r := range traps.Secret.Ranges() {
			if gap := int(r.From) - last; gap > 2*65535/30 {
				t.Fatalf("no secret trap from %d to %d", last, r.From)
			}
			last = int(r.To)
		}
	}
}

func TestDrawRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		want    string
		terrain Terrain
	}{
		{"draw traps: the firewall has room for 2 openings, at least 3 are needed", Terrain{Hidden: set(t, "22/tcp"), Budget: 2}},
		{"draw traps: every port is protected, in use or to be avoided", Terrain{Avoid: set(t, "1-65535/tcp"), Budget: 58}},
	} {
		_, err := Draw(rng, defaultSpec, tt.terrain)
		if err == nil || err.Error() != tt.want || !errors.Is(err, portsnare.LimitExceeded) || portsnare.HintOf(err) == "" {
			t.Errorf("Draw = %v, want %s with a hint", err, tt.want)
		}
	}
}

func FuzzDraw(f *testing.F) {
	f.Add(uint64(1), 8, 10, 30, 400, 58, uint16(22), uint16(100), uint16(5000))
	f.Add(uint64(2), 99, 0, 1, 60000, 3, uint16(65535), uint16(1), uint16(65535))
	f.Fuzz(func(t *testing.T, seed uint64, neighbours, bait, openings, ports, budget int, hidden, from, to uint16) {
		limit := func(n, most int) int { return min(max(n, 0), most) }
		if hidden == 0 || from == 0 || from > to {
			return
		}
		spec := Spec{Neighbours: limit(neighbours, 64), Radius: 32, Bait: limit(bait, 28), Openings: limit(openings, 1000), Ports: limit(ports, 65535)}
		terrain := Terrain{
			Hidden: portsnare.PortSetOf(port(hidden)),
			Avoid:  portsnare.NewPortSet(portsnare.PortRange{Protocol: portsnare.TCP, From: from, To: to}),
			Budget: limit(budget, 1000),
		}
		traps, err := Draw(rand.New(rand.NewPCG(seed, 1)), spec, terrain)
		if err == nil {
			checkDraw(t, traps, terrain)
		}
	})
}

func BenchmarkDraw(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	terrain := Terrain{Hidden: set(b, "22/tcp,8443/tcp"), Avoid: set(b, "443/tcp,3000-3010/tcp"), Budget: 58}
	for b.Loop() {
		if _, err := Draw(rng, defaultSpec, terrain); err != nil {
			b.Fatal(err)
		}
	}
}
