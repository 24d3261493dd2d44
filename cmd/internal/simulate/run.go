package simulate

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/placement"
)

// Cell is how many trials of one scan reached a hidden port.
type Cell struct {
	Placement string  `json:"placement"`
	Found     int     `json:"found"`
	Runs      int     `json:"runs"`
	Share     float64 `json:"share"`
	Low       float64 `json:"low"` // of the interval that holds the true chance with 95 %
	High      float64 `json:"high"`
}

// Trials plays a scan so many times, each against a set of its own, at one of
// the hidden ports, all of them as often. It stops with the error of ctx when that
// ends.
func Trials(ctx context.Context, rng *rand.Rand, runs int, scan Scan, place Placement, hidden []int, rules Rules) (Cell, error) {
	rules.Alarm, rules.Delay = scan.Rules.Alarm, scan.Rules.Delay
	t := table{rules: rules}
	cell := Cell{Placement: place.Name, Runs: runs}
	var traps Traps
	for i := range runs {
		if err := ctx.Err(); err != nil {
			return cell, err
		}
		if err := place.Draw(rng, &traps); err != nil {
			return cell, err
		}
		if t.play(scan.aim(rng, hidden[i%len(hidden)]), traps) {
			cell.Found++
		}
	}
	cell.Share = float64(cell.Found) / float64(runs)
	cell.Low, cell.High = wilson(cell.Found, runs)
	return cell, nil
}

// play reports whether one scan reaches its port.
func (t *table) play(a aim, traps Traps) bool {
	t.hits = t.hits[:0]
	tries := a.appendProbes(nil, a.target, false)
	for _, port := range traps.Firing {
		t.hits = t.keep(a, tries, a.appendProbes(t.hits, port, true))
	}
	for _, port := range traps.Bait {
		t.hits = t.keep(a, tries, a.appendProbes(t.hits, port, false))
	}
	for _, p := range tries {
		if t.reaches(p, a.Repeat) {
			return true
		}
	}
	return false
}

// keep drops from the newest hits those that cannot change the outcome: too
// late for every try, or by a source that makes none, unless an alarm counts it.
func (t *table) keep(a aim, tries, hits []probe) []probe {
	kept := hits[:len(t.hits)]
	for _, h := range hits[len(t.hits):] {
		for _, try := range tries {
			if h.at <= try.at+a.Repeat && (h.source == try.source || t.rules.Alarm > 0) {
				kept = append(kept, h)
				break
			}
		}
	}
	return kept
}

// wilson returns the interval that holds the true share with 95 % (E. B.
// Wilson, J. Am. Stat. Assoc. 22, 1927).
func wilson(found, runs int) (low, high float64) {
	if runs == 0 {
		return 0, 1
	}
	const z = 1.959964
	n, p := float64(runs), float64(found)/float64(runs)
	middle := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return max(0, middle-half), min(1, middle+half)
}

// Numbers returns the TCP ports of a set.
func Numbers(set portsnare.PortSet) []int {
	var numbers []int
	for p := range set.Of(portsnare.TCP).All() {
		numbers = append(numbers, int(p.Number))
	}
	return numbers
}

// Scans are the rows of the table.
func Scans() []Scan {
	const alarm, masscan, nmap, fast, connect = 5, 100, 49, 10_000, 1.0
	gated, delayed := Rules{Alarm: alarm}, Rules{Delay: true}
	return []Scan{
		{Name: "all ports, ascending", Order: Ascending, Rate: fast, Sources: 1, Closed: linear},
		{Name: "all ports, descending", Order: Descending, Rate: fast, Sources: 1, Closed: linear},
		{Name: "up, from 32 ports below", Order: From, Span: 32, Rate: fast, Sources: 1, Closed: linear},
		{Name: "down, from 32 ports above", Order: DownTo, Span: 32, Rate: fast, Sources: 1, Closed: linear},
		{Name: "sweep of 100 ports around it", Order: Sweep, Span: 100, Rate: fast, Sources: 1, Closed: func(o placement.Outlook, _ Rules) float64 { return o.Sweep }},
		{Name: "sweep of 1,000 ports around it", Order: Sweep, Span: 1000, Rate: fast, Sources: 1},
		{Name: "100 ports around it, random order", Order: Around, Span: 100, Rate: fast, Sources: 1},
		{Name: "random order, 10,000/s", Rate: fast, Sources: 1, Closed: random(fast)},
		{Name: "random order, 100/s (masscan)", Rate: masscan, Sources: 1, Closed: random(masscan)},
		{Name: "nmap -p- at its 49/s", Order: Nmap, Rate: nmap, Sources: 1, Repeat: 0.1},
		{Name: "nmap -p- --min-rate 5000", Order: Nmap, Rate: 2498, Sources: 1, Repeat: 0.1, Closed: func(o placement.Outlook, _ Rules) float64 { return o.Nmap }},
		{Name: "popular ports, it among them", Order: Popular, Rate: nmap, Sources: 1},
		{Name: "slow: random order, 1/s", Rate: 1, Sources: 1},
		{Name: "slow: a port in 15 s (nmap -T1)", Rate: 1.0 / 15, Sources: 1},
		{Name: "slow: a port in 5 min (nmap -T0)", Rate: 1.0 / 300, Sources: 1},
		{Name: "62 sources", Rate: fast, Sources: 62, Closed: sliced},
		{Name: "62 sources, alarm", Rate: fast, Sources: 62, Rules: gated, Closed: alarmed(62, alarm)},
		{Name: "62 sources, each port by two, alarm", Rate: fast, Sources: 62, Copies: 2, Rules: gated},
		{Name: "62 sources, a run of ports each", Order: Slices, Rate: fast, Sources: 62},
		{Name: "1,000 sources", Rate: fast, Sources: 1000},
		{Name: "1,000 sources, alarm", Rate: fast, Sources: 1000, Rules: gated, Closed: alarmed(1000, alarm)},
		{Name: "random order, 10,000/s, delay", Rate: fast, Sources: 1, Rules: delayed, Closed: func(placement.Outlook, Rules) float64 { return 0 }},
		{Name: "connect scan, 10,000/s, delay", Rate: fast, Sources: 1, Repeat: connect, Rules: delayed},
		{Name: "62 sources, connect scan, delay and alarm", Rate: 1000, Sources: 62, Repeat: connect, Rules: Rules{Alarm: alarm, Delay: true}},
	}
}

// linear: from beyond the radius every neighbour of a side comes first.
func linear(o placement.Outlook, r Rules) float64 {
	if o.Spec.Neighbours/2 >= r.Policy.Strikes {
		return 0
	}
	return math.NaN()
}

func sliced(o placement.Outlook, r Rules) float64 {
	return placement.Slices(o.Firing, r.Policy.Strikes, 62)
}

func alarmed(sources, alarm int) func(placement.Outlook, Rules) float64 {
	return func(o placement.Outlook, _ Rules) float64 { return placement.Alarmed(o.Firing, sources, alarm) }
}

// random is the share of its time in which a source at this rate is not banned:
// until the first ban by its K strikes, later until the next trap that fires, as
// the strikes outlast the ban.
func random(rate float64) func(placement.Outlook, Rules) float64 {
	return func(o placement.Outlook, r Rules) float64 {
		whole := ports / rate
		first, gap := o.Random*whole, whole/float64(o.Firing+1)
		at, open := first, first
		for n := 1; at < whole; n++ {
			at += r.Policy.BanTime(n).Seconds()
			open += min(gap, max(0, whole-at))
			at += gap
		}
		return open / whole
	}
}
