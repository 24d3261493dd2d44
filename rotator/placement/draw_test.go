package placement

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// theirs is the spec that the design's example configuration writes out.
var theirs = Spec{Neighbours: 8, Radius: 16, Bait: 10, Openings: 30, Ports: 400}

// terrains are the odd ones, each with what a warning about it must contain.
func terrains(t testing.TB) map[string]Terrain {
	return map[string]Terrain{
		"one port":          {Hidden: set(t, "39172/tcp"), Budget: 58},
		"at the low end":    {Hidden: set(t, "1/tcp"), Budget: 58},
		"at the high end":   {Hidden: set(t, "65535/tcp"), Budget: 58},
		"close together":    {Hidden: set(t, "22/tcp,24/tcp,30/tcp"), Budget: 90},
		"side by side":      {Hidden: set(t, "8000-8009/tcp"), Budget: 60},
		"little room":       {Hidden: set(t, "22/tcp,8443/tcp"), Budget: 12},
		"least room":        {Hidden: set(t, "22/tcp"), Budget: 3},
		"many, least room":  {Hidden: set(t, "22/tcp,100/tcp,200/tcp,8443/tcp"), Budget: 3},
		"a thousand rules":  {Hidden: set(t, "22/tcp,8443/tcp"), Budget: 1000},
		"much to avoid":     {Hidden: set(t, "22/tcp"), Avoid: set(t, "1-20000/tcp,30000-65535/tcp"), Budget: 58},
		"one port free":     {Hidden: set(t, "22/tcp"), Avoid: set(t, "1-21/tcp,23-40000/tcp,40002-65535/tcp"), Budget: 58},
		"crumbs":            {Hidden: set(t, "22/tcp"), Avoid: crumbs(), Budget: 20},
		"hidden udp":        {Hidden: set(t, "443/udp"), Budget: 58},
		"nothing hidden":    {Avoid: set(t, "443/tcp"), Budget: 58},
		"neighbours avoid.": {Hidden: set(t, "5000/tcp"), Avoid: set(t, "4900-4999/tcp,5001-5002/tcp"), Budget: 30},
	}
}

// crumbs is every other port.
func crumbs() portsnare.PortSet {
	var ports []portsnare.Port
	for n := 1; n <= maxPort; n += 2 {
		ports = append(ports, tcp(n))
	}
	return portsnare.PortSetOf(ports...)
}

// specs are theirs, and what is chosen for the terrain.
func specs(t testing.TB, terrain Terrain) map[string]Spec {
	chosen, err := Choose(DefaultLimits(), terrain, 3)
	if err != nil {
		t.Fatal(err)
	}
	kept := theirs
	kept.Keep = 0.5
	return map[string]Spec{"theirs": theirs, "chosen": chosen, "kept": kept}
}

func TestDraw(t *testing.T) {
	for name, terrain := range terrains(t) {
		for kind, spec := range specs(t, terrain) {
			t.Run(name+"/"+kind, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(1, 2))
				for range 100 / thin {
					traps, err := Draw(rng, spec, terrain)
					if err != nil {
						t.Fatal(err)
					}
					checkDraw(t, traps, spec, terrain)
					terrain.Previous = traps
				}
			})
		}
	}
}

func checkDraw(t *testing.T, traps portsnare.Traps, spec Spec, terrain Terrain) {
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
	if most := spec.Neighbours * len(terrain.hidden()); traps.Neighbours.Len() > most || traps.Bait.Len() > spec.Bait || traps.Secret.Len() > spec.Ports {
		t.Fatalf("%d neighbours, %d bait, %d secret: more than asked for", traps.Neighbours.Len(), traps.Bait.Len(), traps.Secret.Len())
	}
	known := portsnare.PortSet{}
	for _, number := range popular {
		known = known.Union(portsnare.PortSetOf(tcp(int(number))))
	}
	if odd := traps.Bait.Minus(known); !odd.Empty() {
		t.Fatalf("bait %s is not in the table", odd)
	}
	for _, p := range terrain.hidden() {
		for _, free := range [][]uint16{freeFrom(p-1, p-spec.Radius, terrain.taken()), freeFrom(p+1, p+spec.Radius, terrain.taken())} {
			all := len(free) > 1
			for _, number := range free {
				all = all && traps.Neighbours.Has(tcp(int(number)))
			}
			if all && len(terrain.hidden()) == 1 {
				t.Fatalf("every free port beside %d is a neighbour", p)
			}
		}
	}
}

func TestDrawGivesWhatWasAskedFor(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		traps, err := Draw(rng, theirs, Terrain{Hidden: set(t, "39172/tcp"), Budget: 58})
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

func TestDrawFollowsFromItsArguments(t *testing.T) {
	terrain := Terrain{Hidden: set(t, "22/tcp,8443/tcp"), Budget: 58}
	for seed := range uint64(50) {
		a, errA := Draw(rand.New(rand.NewPCG(seed, 0)), theirs, terrain)
		b, errB := Draw(rand.New(rand.NewPCG(seed, 0)), theirs, terrain)
		if diff := cmp.Diff(a, b); diff != "" || errA != nil || errB != nil {
			t.Fatalf("seed %d twice: %v, %v\n%s", seed, errA, errB, diff)
		}
	}
}

// TestStretch: any linear stretch of the length stated meets enough traps, and
// the length is no more than a few times what is met in practice.
func TestStretch(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, budget := range []int{3, 5, 12, 25, 58, 200, 1000} {
		for _, strikes := range []int{1, 3, 8} {
			terrain := Terrain{Hidden: set(t, "22/tcp,8443/tcp"), Avoid: set(t, "3000-3999/tcp"), Budget: budget}
			spec, err := Choose(DefaultLimits(), terrain, strikes)
			if err != nil {
				t.Fatal(err)
			}
			if budget == 58 {
				spec.Keep = 0.5
			}
			length, worst := spec.Stretch(terrain, strikes), 0
			for range 300 / thin {
				traps, err := Draw(rng, spec, terrain)
				if err != nil {
					t.Fatal(err)
				}
				reach := Reach(traps.Ports(), strikes)
				if worst = max(worst, reach); reach == 0 || reach > length {
					t.Fatalf("budget %d, %d strikes: %d ports without, guarantee %d", budget, strikes, reach, length)
				}
				terrain.Previous = traps
			}
			if thin == 1 && budget > 5 && worst < (length-1000)/2 {
				t.Errorf("budget %d, %d strikes: guarantee %d, yet never more than %d", budget, strikes, length, worst)
			}
		}
	}
}

func TestReach(t *testing.T) {
	for _, tt := range []struct {
		traps   string
		strikes int
		want    int
	}{
		{"1-65535/tcp", 1, 1},
		{"1-65535/tcp", 3, 3},
		{"100/tcp", 1, 65436},
		{"100/tcp", 2, 0},
		{"", 1, 0},
		{"30000/tcp,60000/tcp", 1, 30000},
		{"30000/tcp,60000/tcp", 2, 60000},
		{"5/udp", 1, 0},
	} {
		if got := Reach(set(t, tt.traps), tt.strikes); got != tt.want {
			t.Errorf("Reach(%q, %d) = %d, want %d", tt.traps, tt.strikes, got, tt.want)
		}
	}
}

func TestDrawRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	some := Terrain{Hidden: set(t, "22/tcp"), Budget: 58}
	for _, tt := range []struct {
		want    string
		kind    portsnare.Kind
		spec    Spec
		terrain Terrain
	}{
		{"draw traps: the firewall has room for 2 openings, at least 3 are needed", portsnare.LimitExceeded, theirs, Terrain{Hidden: set(t, "22/tcp"), Budget: 2}},
		{"draw traps: every port is protected, in use or to be avoided", portsnare.LimitExceeded, theirs, Terrain{Avoid: set(t, "1-65535/tcp"), Budget: 58}},
		{"8 neighbours within 4 ports to either side can be guessed: want fewer than 8", portsnare.Invalid, Spec{Neighbours: 8, Radius: 4}, some},
		{"bait alone never bans: want neighbours or secret openings", portsnare.Invalid, Spec{Bait: 5, Ports: 9}, some},
		{"keep 0.9: want 0 to 0.8", portsnare.Invalid, Spec{Openings: 1, Ports: 9, Keep: 0.9}, some},
	} {
		_, err := Draw(rng, tt.spec, tt.terrain)
		if err == nil || err.Error() != tt.want || !errors.Is(err, tt.kind) {
			t.Errorf("Draw = %v, want %s", err, tt.want)
		}
		if tt.kind == portsnare.LimitExceeded && portsnare.HintOf(err) == "" {
			t.Errorf("%v: want a hint", err)
		}
	}
}

func FuzzDraw(f *testing.F) {
	f.Add(uint64(1), 8, 0, 10, 30, 400, 0.0, 58, uint16(22), uint16(100), uint16(5000))
	f.Add(uint64(2), 40, 2, 0, 1, 60000, 0.5, 3, uint16(65535), uint16(1), uint16(65535))
	f.Add(uint64(3), 7, 1, 28, 1000, 1000, 0.8, 1000, uint16(1), uint16(3), uint16(3))
	f.Fuzz(func(t *testing.T, seed uint64, neighbours, runs, bait, openings, ports int, share float64, budget int, hidden, from, to uint16) {
		limit := func(n, most int) int { return min(max(n, 0), most) }
		if hidden == 0 || from == 0 || from > to {
			return
		}
		spec := Spec{Neighbours: limit(neighbours, 63), Radius: 32, Runs: limit(runs, 40), Bait: limit(bait, 60),
			Openings: limit(openings, 1000), Ports: limit(ports, 65535), Keep: share}
		terrain := Terrain{
			Hidden: portsnare.PortSetOf(tcp(int(hidden))),
			Avoid:  portsnare.NewPortSet(portsnare.PortRange{Protocol: portsnare.TCP, From: from, To: to}),
			Budget: limit(budget, 1000),
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		for range 2 {
			traps, err := Draw(rng, spec, terrain)
			if err != nil {
				return
			}
			checkDraw(t, traps, spec, terrain)
			terrain.Previous = traps
		}
		if o := spec.Outlook(terrain, 3); o.Random < 0 || o.Random > 1 || o.Bits.Total() < 0 || o.Guess < 0 || o.Guess > 1 {
			t.Fatalf("outlook %+v", o)
		}
	})
}

func BenchmarkDraw(b *testing.B) {
	for _, budget := range []int{3, 25, 58, 1000} {
		terrain := Terrain{Hidden: set(b, "22/tcp,8443/tcp"), Avoid: set(b, "443/tcp,3000-3010/tcp"), Budget: budget}
		spec, err := Choose(DefaultLimits(), terrain, 3)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("budget=%d", budget), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			for b.Loop() {
				if _, err := Draw(rng, spec, terrain); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
