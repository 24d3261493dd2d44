package simulate

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/placement"
)

func set(t testing.TB, s string) portsnare.PortSet {
	t.Helper()
	ports, err := portsnare.ParsePortSet(s)
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

// options are the default policy and traps at a budget.
func options(t testing.TB, budget int) Options {
	t.Helper()
	o := Options{
		Terrain: placement.Terrain{Hidden: set(t, "39172/tcp"), Avoid: set(t, "39172/tcp,443/tcp"), Budget: budget},
		Rules:   Rules{Policy: portsnare.DefaultPolicy()}, Seed: 1,
	}
	var err error
	if o.Spec, err = placement.Choose(placement.DefaultLimits(), o.Terrain, 3); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestLadder: what package hostagent/ipset does, event by event.
func TestLadder(t *testing.T) {
	policy := portsnare.Policy{Strikes: 3, Window: time.Minute, BanMin: 10 * time.Minute, BanMax: time.Hour}
	const bait = false
	for _, tt := range []struct {
		name  string
		hits  []probe
		until float64
	}{
		{"two strikes", []probe{{1, 0, true}, {2, 0, true}}, 0},
		{"three strikes", []probe{{1, 0, true}, {2, 0, true}, {3, 0, true}}, 603},
		{"bait arms and never fires", []probe{{1, 0, bait}, {2, 0, bait}, {3, 0, bait}, {4, 0, bait}}, 0},
		{"one trap after two baits", []probe{{1, 0, bait}, {2, 0, bait}, {3, 0, true}}, 603},
		{"the first strike ran out", []probe{{1, 0, true}, {2, 0, true}, {61, 0, true}}, 0},
		{"the window slides", []probe{{1, 0, true}, {2, 0, true}, {61, 0, true}, {61.5, 0, true}}, 661.5},
		{"no hit counts while banned", []probe{{1, 0, true}, {2, 0, true}, {3, 0, true}, {602, 0, true}}, 603},
		{"the second ban is twice as long", []probe{{1, 0, true}, {2, 0, true}, {3, 0, true}, {700, 0, true}, {701, 0, true}, {702, 0, true}}, 1902},
	} {
		b := bans{rules: Rules{Policy: policy}}
		for _, h := range tt.hits {
			b.hit(h)
		}
		if b.until != tt.until {
			t.Errorf("%s: banned until %v, want %v", tt.name, b.until, tt.until)
		}
	}
	b := bans{rules: Rules{Policy: portsnare.DefaultPolicy()}} // whose window is longer than the ban
	for _, at := range []float64{1, 2, 3, 604} {
		b.hit(probe{at: at, fires: true})
	}
	if b.until != 604+1200 {
		t.Errorf("strikes outlast the ban: banned until %v, want 1804", b.until)
	}
}

func TestAlarmAndDelay(t *testing.T) {
	rules := Rules{Policy: portsnare.DefaultPolicy(), Alarm: 2}
	for _, tt := range []struct {
		name   string
		rules  Rules
		hits   []probe
		repeat float64
		want   bool
	}{
		{"nobody else", rules, nil, 0, true},
		{"one other", rules, []probe{{1, 7, true}, {2, 7, true}}, 0, true},
		{"two others", rules, []probe{{1, 7, true}, {2, 8, true}}, 0, false},
		{"two others on bait", rules, []probe{{1, 7, false}, {2, 8, false}}, 0, true},
		{"two others, long ago", rules, []probe{{1 - 1000, 7, true}, {2, 8, true}}, 0, true},
		{"two others, later", rules, []probe{{11, 7, true}, {12, 8, true}}, 0, true},
		{"delay, never again", Rules{Policy: rules.Policy, Delay: true}, nil, 0, false},
		{"delay, again", Rules{Policy: rules.Policy, Delay: true}, nil, 1, true},
		{"delay, a trap meanwhile", Rules{Policy: rules.Policy, Delay: true}, []probe{{10.5, 0, true}}, 1, false},
		{"delay, bait meanwhile", Rules{Policy: rules.Policy, Delay: true}, []probe{{10.5, 0, false}}, 1, true},
	} {
		table := table{rules: tt.rules, hits: tt.hits}
		if got := table.reaches(probe{at: 10}, tt.repeat); got != tt.want {
			t.Errorf("%s: reached %t, want %t", tt.name, got, tt.want)
		}
	}
}

// TestOrders: each order comes to every port it should, in its time.
func TestOrders(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, tt := range []struct {
		scan      Scan
		port      int
		low, high float64
		probed    bool
	}{
		{Scan{Order: Ascending}, 1, 0, 0, true},
		{Scan{Order: Ascending}, 65535, 65534, 65534, true},
		{Scan{Order: Descending}, 65535, 0, 0, true},
		{Scan{Order: From, Span: 32}, 1000 - 32, 0, 0, true},
		{Scan{Order: From, Span: 32}, 1000 - 33, 0, 0, false},
		{Scan{Order: DownTo, Span: 32}, 1000 + 32, 0, 0, true},
		{Scan{Order: DownTo, Span: 32}, 1000 + 33, 0, 0, false},
		{Scan{Order: Sweep, Span: 100}, 1000, 0, 99, true},
		{Scan{Order: Sweep, Span: 100}, 1100, 0, 0, false},
		{Scan{Order: Around, Span: 100}, 1000, 0, 100, true},
		{Scan{Order: Around, Span: 100}, 1051, 0, 0, false},
		{Scan{Order: Nmap}, 80, 0, 28, true},
		{Scan{Order: Nmap}, 256, 0, 28, true},
		{Scan{Order: Nmap}, 1000, 28, 65535, true},
		{Scan{Order: Popular}, 1000, 0, 60, true},
		{Scan{Order: Popular}, 80, 0, 60, true},
		{Scan{Order: Popular}, 999, 0, 0, false},
		{Scan{Sources: 62}, 999, 0, 65535.0 / 62, true},
		{Scan{Order: Slices, Sources: 62}, 1, 0, 0, true},
		{Scan{Order: Slices, Sources: 62}, 65535, 1056, 1057, true},
	} {
		tt.scan.Rate, tt.scan.Sources = 1, max(1, tt.scan.Sources)
		for range 50 {
			a := tt.scan.aim(rng, 1000)
			got := a.appendProbes(nil, tt.port, true)
			if len(got) == 1 != tt.probed || tt.probed && (got[0].at < tt.low || got[0].at > tt.high || got[0].source >= tt.scan.Sources) {
				t.Fatalf("%+v, port %d: %v, want %v to %v, probed %t", tt.scan, tt.port, got, tt.low, tt.high, tt.probed)
			}
		}
	}
}

// TestClosedFormsHold: each lies in the interval of what is played, widened to
// four deviations.
func TestClosedFormsHold(t *testing.T) {
	for _, budget := range []int{3, 23, 58} {
		o := options(t, budget)
		o.Runs = 4000 / thin
		for i, scan := range Scans() {
			if scan.Closed == nil || scan.Rules.Alarm > 0 {
				continue
			}
			rng := rand.New(rand.NewPCG(2, uint64(100*budget+i)))
			cell, err := Trials(t.Context(), rng, o.Runs, scan, Ours(o.Spec, o.Terrain), []int{39172}, o.Rules)
			if err != nil {
				t.Fatal(err)
			}
			want := scan.Closed(o.Outlook(), o.Rules)
			if half := cell.High - cell.Low; want < cell.Low-half || want > cell.High+half {
				t.Errorf("budget %d, %s: %.4f, closed form %.4f", budget, scan.Name, cell.Share, want)
			}
		}
	}
}

// TestGoals of the design for AWS, DigitalOcean and Vultr, Linode.
func TestGoals(t *testing.T) {
	goals := map[string]float64{
		"all ports, ascending": 0.01, "all ports, descending": 0.01, "up, from 32 ports below": 0.01, "down, from 32 ports above": 0.01,
		"random order, 10,000/s": 0.01, "random order, 100/s (masscan)": 0.01, "nmap -p- at its 49/s": 0.01, "nmap -p- --min-rate 5000": 0.01,
		"62 sources, alarm": 0.03, "1,000 sources, alarm": 0.03,
	}
	for _, budget := range []int{58, 48, 23} {
		o := options(t, budget)
		met := 0
		for i, scan := range Scans() {
			goal, ok := goals[scan.Name]
			if !ok {
				continue
			}
			met++
			cell, err := Trials(t.Context(), rand.New(rand.NewPCG(3, uint64(i))), 4000/thin, scan, Ours(o.Spec, o.Terrain), []int{39172}, o.Rules)
			if err != nil {
				t.Fatal(err)
			}
			if cell.Low > goal {
				t.Errorf("budget %d, %s: %.4f (%.4f-%.4f), goal %.2f", budget, scan.Name, cell.Share, cell.Low, cell.High, goal)
			}
		}
		if met != len(goals) {
			t.Errorf("%d goals of %d are played", met, len(goals))
		}
	}
}

func TestReportIsTheSameForTheSameSeed(t *testing.T) {
	o := options(t, 58)
	o.Runs = 20
	var texts []string
	for range 2 {
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if diff := cmp.Diff(texts[0], texts[1]); diff != "" {
		t.Errorf("two runs differ:\n%s", diff)
	}
}

// TestLearner: the faster traps move, the less it helps to learn, and who has
// an address for every strike there is finds the port.
func TestLearner(t *testing.T) {
	if thin > 1 {
		t.Skip("it takes as many learners to tell the difference")
	}
	o := options(t, 58)
	share := func(every float64, addresses int, keep float64, runs int) Cell {
		c, err := o.learner(t.Context(), Learning{Seconds: every, Addresses: addresses}, keep, runs)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	still, moving, kept := share(0, 80, 0, 400), share(300, 80, 0, 400), share(300, 80, placement.MaxKeep, 400)
	t.Logf("never %.3f, every 5 minutes %.3f, keeping 0.8 %.3f", still.Share, moving.Share, kept.Share)
	if still.Low <= moving.High {
		t.Errorf("traps that never move: %.3f, that move every 5 minutes: %.3f, want clearly less", still.Share, moving.Share)
	}
	if all := share(0, 1000, 0, 5); all.Share != 1 {
		t.Errorf("with 1,000 addresses: %.3f, want 1", all.Share)
	}
}

func TestWilson(t *testing.T) {
	for _, tt := range []struct {
		found, runs int
		low, high   float64
	}{{0, 10, 0, 0.2775}, {10, 10, 0.7225, 1}, {5, 10, 0.2366, 0.7634}, {0, 0, 0, 1}} {
		low, high := wilson(tt.found, tt.runs)
		if diff := cmp.Diff([]float64{tt.low, tt.high}, []float64{low, high}, cmp.Comparer(func(a, b float64) bool { return a-b < 1e-4 && b-a < 1e-4 })); diff != "" {
			t.Errorf("%d of %d: %s", tt.found, tt.runs, diff)
		}
	}
}

// BenchmarkScan plays whole scans of 65,535 ports, each against a new trap set.
func BenchmarkScan(b *testing.B) {
	o := options(b, 58)
	for _, scan := range Scans() {
		b.Run(scan.Name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			if _, err := Trials(b.Context(), rng, b.N, scan, Ours(o.Spec, o.Terrain), []int{39172}, o.Rules); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "scans/s")
		})
	}
}
