package kerneltest

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// document is where the outcomes are kept.
const document = "../../docs/kernel-conformance.md"

const preamble = `# Kernel conformance

What every kernel backend must do, and does, case by case. The tables are written by
the suite that tests it, ` + "`go test ./hostagent/kerneltest -update`" + `,
and every run compares it. The server hides 5022/tcp among traps, everything
else is closed to the scanners, as a cloud firewall would; three strikes make a ban.

*Found*: the scanner can distinguish the hidden port from a trap. *Banned at 3*: the
third distinct trap banned the source, on that very packet. *Silent*: not one packet
came back to the scanner.
`

// outcomes are those of this run.
var outcomes = &table{cells: map[cell]string{}}

// table is outcomes by case and variant.
type table struct {
	mu    sync.Mutex
	cells map[cell]string
}

// cell is where an outcome stands.
type cell struct{ section, name, variant string }

// columns are the variants in the order of the table.
func columns() []string {
	names := []string{defenceless.name}
	for _, v := range defences {
		names = append(names, v.name)
	}
	return names
}

// record takes an outcome into the table and compares it with the one of the
// document.
func (w *world) record(section, name, outcome string) {
	w.t.Helper()
	at := cell{section + ", " + w.family.name, name, w.variant.name}
	outcomes.mu.Lock()
	defer outcomes.mu.Unlock()
	outcomes.cells[at] = outcome
	if got := committed().cells[at]; got != outcome && !*update {
		w.t.Errorf("%s says %q, want %q; go test ./hostagent/kerneltest -update writes it", document, got, outcome)
	}
}

// committed returns the document's outcomes.
var committed = sync.OnceValue(func() *table {
	text, err := os.ReadFile(document)
	if err != nil {
		text = nil // as empty as a document without tables
	}
	return parseTable(string(text))
})

// parseTable reads what String writes.
func parseTable(text string) *table {
	t := &table{cells: map[cell]string{}}
	var section string
	var variants []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section, variants = title, nil
			continue
		}
		fields := strings.Split(strings.Trim(line, "|"), "|")
		for i := range fields {
			fields[i] = strings.Trim(fields[i], " `")
		}
		switch {
		case section == "" || !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---"):
		case variants == nil:
			variants = fields[1:]
		default:
			for i, outcome := range fields[1:] {
				if outcome != "" {
					t.cells[cell{section, fields[0], variants[i]}] = outcome
				}
			}
		}
	}
	return t
}

// String returns the tables in Markdown, a section each.
func (t *table) String() string {
	var b strings.Builder
	for _, section := range t.sections() {
		used := t.columns(section)
		fmt.Fprintf(&b, "\n## %s\n\n| case | %s |\n|---%s|\n", section, strings.Join(used, " | "), strings.Repeat("|---", len(used)))
		for _, name := range t.names(section) {
			fmt.Fprintf(&b, "| `%s` |", name)
			for _, variant := range used {
				fmt.Fprintf(&b, " %s |", t.cells[cell{section, name, variant}])
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// columns returns the variants that have an outcome in the section.
func (t *table) columns(section string) []string {
	return slices.DeleteFunc(columns(), func(variant string) bool {
		for at := range t.cells {
			if at.section == section && at.variant == variant {
				return false
			}
		}
		return true
	})
}

func (t *table) sections() []string {
	found := map[string]bool{}
	for at := range t.cells {
		found[at.section] = true
	}
	return slices.Sorted(maps.Keys(found))
}

func (t *table) names(section string) []string {
	found := map[string]bool{}
	for at := range t.cells {
		if at.section == section {
			found[at.name] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// write replaces the document by one with the outcomes of this run and, unless
// everything ran, the present ones of the cases that did not.
func (t *table) write(whole bool) error {
	all := &table{cells: map[cell]string{}}
	if !whole {
		maps.Copy(all.cells, committed().cells)
	}
	maps.Copy(all.cells, t.cells)
	return os.WriteFile(document, []byte(preamble+all.String()), 0o644)
}

// stale returns an error if the document has outcomes of cases that there are no
// more.
func (t *table) stale() error {
	for at := range committed().cells {
		if _, ran := t.cells[at]; !ran {
			return fmt.Errorf("%s has %q of %s for %s, which did not run; go test ./hostagent/kerneltest -update takes it out",
				document, at.name, at.section, at.variant)
		}
	}
	return nil
}

func TestTableIsReadAsWritten(t *testing.T) {
	want := &table{cells: map[cell]string{
		{"Scanners, IPv4", "nmap -sS", ipsetNFT.name}:    "hidden, banned at 3, silent",
		{"Scanners, IPv4", "nmap -sS", defenceless.name}: "found, not banned, answered",
		{"Innocents, IPv6", "FTP", ipsetLegacy.name}:     "not banned",
	}}
	text := want.String()
	if got := parseTable(text).cells; !maps.Equal(got, want.cells) {
		t.Errorf("read back %v, want %v, from:\n%s", got, want.cells, text)
	}
}
