package simulate

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/rotator/placement"
)

// Options are what is simulated.
type Options struct {
	Spec    placement.Spec
	Terrain placement.Terrain
	Rules   Rules
	Runs    int    // trials a cell
	Seed    uint64 // the same seed gives the same report
}

// Report is what a simulation found.
type Report struct {
	Runs           int               `json:"runs"`
	Seed           uint64            `json:"seed"`
	Budget         int               `json:"budget"`
	Strikes        int               `json:"strikes"`
	Outlook        placement.Outlook `json:"outlook"`
	Rows           []Row             `json:"rows"`
	Forging        []Forging         `json:"forging"`
	Learning       []Learning        `json:"learning"`
	Predictability []Predicted       `json:"predictability"`
	Warnings       []string          `json:"warnings,omitempty"`
}

// Row is one scan against every placement.
type Row struct {
	Scan    string   `json:"scan"`
	Modeled bool     `json:"modelled_only,omitempty"` // it needs the alarm, which nothing raises yet
	Closed  *float64 `json:"closed_form,omitempty"`   // the chance against Portsnare's traps
	Cells   []Cell   `json:"cells"`
}

// everythingShare of the runs are made where every port is a trap, which takes
// a hundred times as long and hardly varies.
const everythingShare = 20

// Run simulates every scan of the table, and the two adversaries. It stops with the
// error of ctx when that ends.
func Run(ctx context.Context, o Options) (Report, error) {
	hidden := Numbers(o.Terrain.Hidden)
	report := Report{Runs: o.Runs, Seed: o.Seed, Budget: o.Terrain.Budget, Strikes: o.Rules.Policy.Strikes,
		Outlook:  o.Spec.Outlook(o.Terrain, o.Rules.Policy.Strikes),
		Warnings: o.Spec.Warnings(o.Terrain, o.Rules.Policy.Strikes)}
	places := []Placement{Ours(o.Spec, o.Terrain), Fixed(o.Terrain), Uniform(o.Terrain), Everything(o.Terrain)}
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.SetLimit(runtime.GOMAXPROCS(0))
	scans := Scans()
	report.Rows = make([]Row, len(scans))
	for i, scan := range scans {
		row := &report.Rows[i]
		*row = Row{Scan: scan.Name, Modeled: scan.Rules.Alarm > 0, Cells: make([]Cell, len(places))}
		if scan.Closed != nil {
			if p := scan.Closed(report.Outlook, o.Rules); !math.IsNaN(p) {
				row.Closed = &p
			}
		}
		for j, place := range places {
			runs := o.Runs
			if place.Name == "everything" {
				runs = max(1, runs/everythingShare)
			}
			rng := rand.New(rand.NewPCG(o.Seed, uint64(i*len(places)+j)))
			tasks.Go(func() (err error) {
				row.Cells[j], err = Trials(ctx, rng, runs, scan, place, hidden, o.Rules)
				return err
			})
		}
	}
	tasks.Go(func() (err error) { report.Forging, err = forge(ctx, o); return err })
	tasks.Go(func() (err error) { report.Learning, err = learn(ctx, o); return err })
	report.Predictability = predict(o)
	return report, tasks.Wait()
}

// Predicted is what can be known of the next set where a share is kept.
type Predicted struct {
	Keep    float64           `json:"keep"`
	Bits    placement.Entropy `json:"bits"`
	One     float64           `json:"guess_1_of_1"` // the best guess of one port is a trap
	Ban     float64           `json:"guess_k_of_k"` // the best guess of K ports makes a ban
	Hundred float64           `json:"guess_k_of_100"`
}

func predict(o Options) (all []Predicted) {
	k := o.Rules.Policy.Strikes
	for _, share := range []float64{0, 0.25, 0.5, placement.MaxKeep} {
		s := o.Spec
		s.Keep = share
		all = append(all, Predicted{share, s.Entropy(o.Terrain), s.Guess(o.Terrain, 1, 1), s.Guess(o.Terrain, k, k), s.Guess(o.Terrain, max(k, 100), k)})
	}
	return all
}

// WriteText implements cli.Answer.
func (r Report) WriteText(w io.Writer) error {
	o := r.Outlook
	text := cli.NewText(w)
	text.Line("%d openings for traps; %d strikes; %d runs a cell, seed %d", r.Budget, r.Strikes, r.Runs, r.Seed)
	text.Line("portsnare: %d neighbours within %d ports, %d bait, %d secret traps in %d ranges; any %s ports in a row hold %d traps",
		o.Spec.Neighbours, o.Spec.Radius, o.Spec.Bait, o.Spec.Ports, o.Spec.Openings, stretch(o.Stretch), r.Strikes)
	for _, warning := range r.Warnings {
		text.Line("warning: %s", warning)
	}
	text.Line("")
	text.Line("Chance to reach a hidden port, with the 95 %% interval; * modelled only: the kernel program has the alarm, but nothing raises it yet")
	columns := []string{"SCAN", "CLOSED FORM"}
	for _, c := range r.Rows[0].Cells {
		columns = append(columns, strings.ToUpper(c.Placement))
	}
	table := cli.NewTable(text, columns...)
	for _, row := range r.Rows {
		table.Row(row.texts()...)
	}
	table.Flush() //nolint:errcheck // text keeps it
	r.writeAdversaries(text)
	return text.Err()
}

func stretch(n int) string {
	if n == 0 {
		return "65535" // only all of them
	}
	return strconv.Itoa(n)
}

func (row Row) texts() []string {
	name, closed := row.Scan, ""
	if row.Modeled {
		name += " *"
	}
	if row.Closed != nil {
		closed = fmt.Sprintf("%.4f", *row.Closed)
	}
	cells := []string{name, closed}
	for _, c := range row.Cells {
		cells = append(cells, fmt.Sprintf("%.4f (%.4f-%.4f)", c.Share, c.Low, c.High))
	}
	return cells
}

func (r Report) writeAdversaries(text *cli.Text) {
	text.Line("")
	text.Line("Packets that an attacker must forge to have a victim banned who is not a friend")
	table := cli.NewTable(text, "ATTACKER KNOWS", "AT LEAST, CLOSED FORM", "MEAN OF A BLIND RUN", "95 %")
	for _, f := range r.Forging {
		table.Row(f.Knows, fmt.Sprintf("%.1f", f.Closed), fmt.Sprintf("%.1f", f.Mean), fmt.Sprintf("%.1f-%.1f", f.Low, f.High))
	}
	table.Flush() //nolint:errcheck // text keeps it
	text.Line("")
	text.Line("Chance that an attacker finds the port by sacrificing one address after another, at %g ports/s, while avoiding the traps he learns", learnRate)
	table = cli.NewTable(text, "TRAPS MOVE", "ADDRESSES", "NOTHING KEPT", "HALF KEPT")
	for _, l := range r.Learning {
		table.Row(l.Every, strconv.Itoa(l.Addresses), interval(l.Fresh), interval(l.Kept))
	}
	table.Flush() //nolint:errcheck // text keeps it
	text.Line("")
	text.Line("What an attacker who knows our code and every earlier set can know about the next one")
	table = cli.NewTable(text, "KEEP", "BITS UNKNOWN, AT LEAST", "1 PORT IS A TRAP", fmt.Sprintf("%d PORTS BAN", r.Strikes), fmt.Sprintf("100 PORTS HOLD %d", r.Strikes))
	for _, p := range r.Predictability {
		table.Row(fmt.Sprint(p.Keep), fmt.Sprintf("%.0f", p.Bits.Total()), fmt.Sprintf("%.4f", p.One), fmt.Sprintf("%.4f", p.Ban), fmt.Sprintf("%.4f", p.Hundred))
	}
	table.Flush() //nolint:errcheck // text keeps it
}

func interval(c Cell) string { return fmt.Sprintf("%.3f (%.3f-%.3f)", c.Share, c.Low, c.High) }
