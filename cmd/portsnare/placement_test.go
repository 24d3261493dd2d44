package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare/cmd/internal/reference"
	"github.com/portsnare/portsnare/cmd/internal/simulate"
	"github.com/portsnare/portsnare/rotator/placement"
)

const placementDocs = "../../docs/placement"

// budgets are the firewalls of docs/placement.md: the openings that are left for
// traps beside a protected and a public port. Each has the answer of
//
//	portsnare simulate --json --budget BUDGET
//
// in docs/placement, from which the tables in the text are written.
var budgets = []struct {
	file   string
	name   string
	budget int
}{{"aws.json", "AWS, 60 rules", 58}, {"digitalocean-vultr.json", "DigitalOcean, Vultr, 50 rules", 48}, {"linode.json", "Linode, 25 rules", 23}}

func committed(t *testing.T, file string) (r simulate.Report) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(placementDocs, file))
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// played returns what the command finds today in a few runs.
func played(t *testing.T, budget, runs int) simulate.Report {
	t.Helper()
	options, err := (&app{}).simulation(simulateFlags{
		budget: budget, protect: []string{"39172/tcp"}, public: []string{"443/tcp"}, strikes: 3, runs: runs, seed: 99,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	report, err := simulate.Run(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestPlacementFigures: what can be computed is as the files say, and what is
// counted differs by no more than chance.
func TestPlacementFigures(t *testing.T) {
	for _, cloud := range budgets {
		have, want := committed(t, cloud.file), played(t, cloud.budget, 120)
		if have.Runs < 10_000 {
			t.Errorf("%s: %d runs a cell, want 10,000", cloud.file, have.Runs)
		}
		for what, pair := range map[string][2]any{
			"outlook":        {want.Outlook, have.Outlook},
			"predictability": {want.Predictability, have.Predictability},
			"warnings":       {want.Warnings, have.Warnings},
		} {
			if diff := gocmp.Diff(pair[0], pair[1], nearly); diff != "" {
				t.Errorf("%s: %s is out of date: -want +have\n%s", cloud.file, what, diff)
			}
		}
		if len(have.Rows) != len(want.Rows) {
			t.Fatalf("%s: %d scans, want %d", cloud.file, len(have.Rows), len(want.Rows))
		}
		for i, row := range want.Rows {
			got := have.Rows[i]
			if diff := gocmp.Diff(row.Closed, got.Closed, nearly); diff != "" || row.Scan != got.Scan || row.Modeled != got.Modeled {
				t.Errorf("%s: %s is out of date: %s", cloud.file, got.Scan, diff)
			}
			for j, cell := range row.Cells {
				sameShare(t, cloud.file+": "+row.Scan, cell, got.Cells[j])
			}
		}
		for i, l := range want.Learning {
			sameShare(t, cloud.file+": "+l.Every, l.Fresh, have.Learning[i].Fresh)
			sameShare(t, cloud.file+": "+l.Every+", kept", l.Kept, have.Learning[i].Kept)
		}
	}
}

var nearly = gocmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a)) })

// sameShare compares two counts of one thing: within 4.5 deviations, and what a
// single hit of a few runs makes.
func sameShare(t *testing.T, what string, a, b simulate.Cell) {
	t.Helper()
	p := float64(a.Found+b.Found) / float64(a.Runs+b.Runs)
	sd := math.Sqrt(p * (1 - p) * (1/float64(a.Runs) + 1/float64(b.Runs)))
	if a.Placement != b.Placement || math.Abs(a.Share-b.Share) > 4.5*sd+1/float64(min(a.Runs, b.Runs)) {
		t.Errorf("%s, %s: %.4f of %d runs, the file has %.4f for %s", what, a.Placement, a.Share, a.Runs, b.Share, b.Placement)
	}
}

// TestPlacementText: the tables of the text are those of the files.
func TestPlacementText(t *testing.T) {
	var text strings.Builder
	if err := committed(t, budgets[0].file).WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"simulation": "```text\n" + text.String() + "```", "clouds": cloudTable(t), "bait": baitTable()} {
		if err := reference.Sync(placementDocs+".md", name, want, *update); err != nil {
			t.Error(err)
		}
	}
}

// cloudTable puts the clouds side by side, with the other placements at AWS's.
func cloudTable(t *testing.T) string {
	names := []string{"Scan"}
	var reports []simulate.Report
	for _, cloud := range budgets {
		names = append(names, cloud.name)
		reports = append(reports, committed(t, cloud.file))
	}
	table := reference.NewTable(append(names, "fixed ±5", "uniform, 58 ports")...)
	for i, row := range reports[0].Rows {
		cells := []string{row.Scan}
		if row.Modeled {
			cells[0] += " \\*"
		}
		for _, r := range reports {
			cells = append(cells, fmt.Sprintf("%.4f", r.Rows[i].Cells[0].Share))
		}
		table.Row(append(cells, fmt.Sprintf("%.4f", row.Cells[1].Share), fmt.Sprintf("%.4f", row.Cells[2].Share))...)
	}
	return table.String()
}

func baitTable() string {
	list, leaders := placement.Popular()
	first, others := slices.Sorted(slices.Values(list[:leaders])), slices.Sorted(slices.Values(list[leaders:]))
	table := reference.NewTable("Used", "TCP ports")
	table.Row("first", fmt.Sprint(first))
	table.Row("where those do not suffice", fmt.Sprint(others))
	return table.String()
}

var label = regexp.MustCompile(`(?s)<text [^>]*>([^<]*[a-z][^<]*)</text>`)

// TestPlacementPlots: the plots show what the command plots, curve by curve.
func TestPlacementPlots(t *testing.T) {
	options, err := (&app{}).simulation(simulateFlags{budget: 58, protect: []string{"39172/tcp"}, public: []string{"443/tcp"}, strikes: 3, runs: 10, seed: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := simulate.Plot(t.Context(), options, folder); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rate.svg", "rotation.svg"} {
		want, have := labels(t, filepath.Join(folder, name)), labels(t, filepath.Join(placementDocs, name))
		if diff := gocmp.Diff(want, have); diff != "" || len(want) < 5 {
			t.Errorf("docs/placement/%s is out of date: portsnare simulate --plots docs/placement: -want +have\n%s", name, diff)
		}
	}
	for _, name := range []string{"rate.png", "rotation.png"} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() < 1000 {
			t.Errorf("%s: %v", name, cmp.Or(err, fmt.Errorf("%d bytes", info.Size())))
		}
	}
}

// labels returns the words of a plot, sorted.
func labels(t *testing.T, path string) (words []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range label.FindAllStringSubmatch(string(text), -1) {
		words = append(words, m[1])
	}
	slices.Sort(words)
	return words
}
