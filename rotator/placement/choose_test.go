package placement

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
)

// TestChooseKeepsItsLimits for every odd terrain, number of strikes and budget.
func TestChooseKeepsItsLimits(t *testing.T) {
	for name, terrain := range terrains(t) {
		for _, limits := range []Limits{DefaultLimits(), {Exposed: 64, Forged: 500}, {Exposed: 4000, Forged: 20}} {
			for _, strikes := range []int{1, 3, 8} {
				spec, err := Choose(limits, terrain, strikes)
				if err != nil {
					t.Fatalf("%s, %+v, %d strikes: %v", name, limits, strikes, err)
				}
				hidden := len(terrain.hidden())
				far, near := spec.Forged(hidden, strikes)
				if exposed := spec.Firing(hidden) + spec.Bait; exposed > limits.Exposed || far < float64(limits.Forged) || near < nearForged {
					t.Errorf("%s, %d strikes: %d exposed, %.1f or %.1f forged, limits %+v", name, strikes, exposed, far, near, limits)
				}
				if spec.Cost(hidden) > terrain.Budget || spec.Firing(hidden) < strikes || spec.Validate() != nil {
					t.Errorf("%s, %d strikes: %+v does not fit", name, strikes, spec)
				}
			}
		}
	}
}

// TestChooseIsWorthIt: the goals of the design, at the limits of four clouds.
func TestChooseIsWorthIt(t *testing.T) {
	for cloud, budget := range map[string]int{"aws": 58, "digitalocean and vultr": 48, "linode": 23} {
		terrain := Terrain{Hidden: set(t, "39172/tcp"), Avoid: set(t, "443/tcp"), Budget: budget}
		for _, overlap := range []bool{false, true} {
			terrain.Overlap = overlap
			spec, err := Choose(DefaultLimits(), terrain, 3)
			if err != nil {
				t.Fatal(err)
			}
			o := spec.Outlook(terrain, 3)
			if o.Random > 0.01 || o.Nmap > 0.01 || o.Sweep > 0.12 || Alarmed(o.Firing, 62, 5) > 0.03 || Alarmed(o.Firing, 1000, 5) > 0.03 {
				t.Errorf("%s: %+v", cloud, o)
			}
			if overlap && budget >= overlapBudget && 2*spec.Cost(1) > budget {
				t.Errorf("%s: two sets of %d openings do not fit side by side", cloud, spec.Cost(1))
			}
		}
	}
}

func TestChooseRefuses(t *testing.T) {
	terrain := Terrain{Hidden: set(t, "22/tcp"), Budget: 58}
	for _, tt := range []struct {
		limits  Limits
		strikes int
		budget  int
		kind    portsnare.Kind
		want    string
	}{
		{Limits{2, 128}, 3, 58, portsnare.Invalid, "choose traps: with at most 2 ports exposed and at least 128 forged packets a victim there are not enough traps for 3 strikes"},
		{Limits{512, 65535}, 3, 58, portsnare.Invalid, "choose traps: with at most 512 ports exposed and at least 65535 forged packets a victim there are not enough traps for 3 strikes"},
		{DefaultLimits(), 3, 2, portsnare.LimitExceeded, "draw traps: the firewall has room for 2 openings, at least 3 are needed"},
	} {
		terrain.Budget = tt.budget
		_, err := Choose(tt.limits, terrain, tt.strikes)
		if err == nil || err.Error() != tt.want || !errors.Is(err, tt.kind) || portsnare.HintOf(err) == "" {
			t.Errorf("Choose = %v, want %s with a hint", err, tt.want)
		}
		if tt.kind == portsnare.Invalid && tt.limits.Suffice(tt.strikes) {
			t.Errorf("%+v are said to suffice for %d strikes", tt.limits, tt.strikes)
		}
	}
}

func TestFit(t *testing.T) {
	many := Spec{Neighbours: 8, Radius: 16, Bait: 10, Openings: 30, Ports: 400}
	for _, tt := range []struct {
		hidden, budget int
		want           Spec
	}{
		{1, 58, Spec{Neighbours: 8, Radius: 16, Runs: 4, Bait: 10, Openings: 30, Ports: 400}},
		{1, 44, Spec{Neighbours: 8, Radius: 16, Runs: 2, Bait: 10, Openings: 30, Ports: 400}},
		{1, 22, Spec{Neighbours: 8, Radius: 16, Runs: 1, Bait: 5, Openings: 15, Ports: 400}},
		{1, 3, Spec{Neighbours: 8, Radius: 16, Runs: 1, Bait: 0, Openings: 1, Ports: 400}},
		{9, 5, Spec{Neighbours: 8, Radius: 16, Runs: 1, Bait: 0, Openings: 1, Ports: 400}},
	} {
		if diff := cmp.Diff(tt.want, many.Fit(tt.hidden, tt.budget)); diff != "" {
			t.Errorf("%d hidden, budget %d: -want +got\n%s", tt.hidden, tt.budget, diff)
		}
	}
}

func TestWarnings(t *testing.T) {
	for name, want := range map[string]string{
		"one port":          "",
		"at the low end":    "1/tcp has fewer than 3 neighbours below: a sweep from there may reach it",
		"at the high end":   "65535/tcp has fewer than 3 neighbours above: a sweep from there may reach it",
		"least room":        "room for 3 openings, 48 wanted: there are 2 for neighbours, 0 for bait, 1 for secret traps\n22/tcp is among the 28 ports that scanners try first, where hardly any trap can ban: give the service another port",
		"neighbours avoid.": "5000/tcp has fewer than 3 neighbours below: a sweep from there may reach it",
		"nothing hidden":    "",
	} {
		terrain := terrains(t)[name]
		spec := theirs
		if name == "neighbours avoid." {
			spec.Bait = 0
			terrain.Budget = 58
		}
		if got := strings.Join(spec.Warnings(terrain, 3), "\n"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestEveryPortGetsItsTurn: where openings do not suffice for all hidden ports,
// each has neighbours now and then.
func TestEveryPortGetsItsTurn(t *testing.T) {
	terrain := Terrain{Hidden: set(t, "1000/tcp,2000/tcp,3000/tcp,4000/tcp"), Budget: 5}
	spec := Spec{Neighbours: 8, Radius: 16, Openings: 10, Ports: 100}
	turns := map[int]int{}
	rng := rand.New(rand.NewPCG(4, 4))
	for range 200 {
		traps, err := Draw(rng, spec, terrain)
		if err != nil {
			t.Fatal(err)
		}
		for p := range traps.Neighbours.All() {
			turns[(int(p.Number)+500)/1000]++
		}
	}
	for p := 1; p <= 4; p++ {
		if turns[p] < 500 { // of 1600, two ports at a time
			t.Errorf("port %d000 had %d neighbours in 200 sets: %v", p, turns[p], turns)
		}
	}
}

func TestAlternatives(t *testing.T) {
	terrain := Terrain{Hidden: set(t, "22/tcp"), Budget: 58}
	others := Wish{Auto: true, Limits: DefaultLimits()}.Alternatives(terrain, 3)
	if len(others) != 4 {
		t.Fatalf("%d alternatives, want 4", len(others))
	}
	for i, o := range others[1:] {
		if o.Random >= others[i].Random || o.Far >= others[i].Far {
			t.Errorf("more exposed ports, yet %+v after %+v", o, others[i])
		}
	}
	if (Wish{Spec: theirs}).Alternatives(terrain, 3) != nil {
		t.Error("there is a choice although the classes are spelt out")
	}
}
