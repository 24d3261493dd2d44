package demo

import (
	"fmt"
	"io"
	"strconv"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
)

// Summary is what a demo showed. It is what `portsnare demo --json` prints.
type Summary struct {
	ProtectedPort         string  `json:"protected_port"`
	Rotations             int     `json:"rotations"`
	ProtectedFoundWithout bool    `json:"protected_found_without"` // by every scan
	ProtectedFoundWith    bool    `json:"protected_found_with"`    // by any scan
	Scans                 []Scan  `json:"scans"`
	ClientConnections     int     `json:"client_connections"`
	ClientFailures        int     `json:"client_failures"`
	TrapAnswers           int     `json:"trap_answers"`           // packets that any port but a service's sent
	CloudProtectedGapMS   int64   `json:"cloud_protected_gap_ms"` // time in which the cloud did not admit a protected port
	Seconds               float64 `json:"seconds"`
}

// Failures returns the claims that did not hold, one sentence each.
func (s Summary) Failures() []string {
	var failures []string
	claim := func(held bool, format string, args ...any) {
		if !held {
			failures = append(failures, fmt.Sprintf(format, args...))
		}
	}
	claim(s.ProtectedFoundWithout, "without Portsnare a scan did not find the protected port: the demo proves nothing")
	claim(!s.ProtectedFoundWith, "with Portsnare a scan found the protected port")
	for _, scan := range s.Scans {
		claim(scan.Round == 0 || scan.Banned, "the %s from %s was not banned", scan.Scanner, scan.Source)
	}
	claim(s.ClientConnections > 0, "the client made no connection")
	claim(s.ClientFailures == 0, "%d of the client's %d connections failed", s.ClientFailures, s.ClientConnections)
	claim(s.TrapAnswers == 0, "traps answered with %d packets", s.TrapAnswers)
	claim(s.CloudProtectedGapMS == 0, "the cloud did not admit a protected port for %d ms", s.CloudProtectedGapMS)
	return failures
}

// tell returns the scan in one line.
func (s Scan) tell(hidden portsnare.Port) string {
	text := fmt.Sprintf("%-12s  from %-14s  %6d probes, %s: ", s.Scanner, s.Source, s.Probes, s.Order)
	if s.ProtectedFound {
		return text + "FOUND " + hidden.String()
	}
	if s.Banned && s.ProbesBeforeBan > 0 {
		return text + fmt.Sprintf("blind, shut out at probe %d", s.ProbesBeforeBan)
	}
	if s.Banned {
		return text + "blind, shut out"
	}
	return text + "did not find " + hidden.String()
}

// print writes the table of the demo and its verdict.
func (s Summary) print(out io.Writer) error {
	text := cli.NewText(out)
	text.Line("")
	table := cli.NewTable(text, "WHEN", "SCANNER", "ORDER", "PROBES", "BEFORE THE BAN", "BANNED", "FOUND "+s.ProtectedPort)
	for _, scan := range s.Scans {
		when := "without"
		if scan.Round > 0 {
			when = "rotation " + strconv.Itoa(scan.Round)
		}
		table.Row(when, scan.Scanner, scan.Order, strconv.Itoa(scan.Probes),
			orDash(scan.ProbesBeforeBan), yesNo(scan.Banned), yesNo(scan.ProtectedFound))
	}
	table.Flush() //nolint:errcheck // text keeps it
	text.Line("")
	text.Line("client connections made       %d", s.ClientConnections)
	text.Line("client connections failed     %d", s.ClientFailures)
	text.Line("packets that a trap answered  %d", s.TrapAnswers)
	text.Line("protected port closed for     %d ms", s.CloudProtectedGapMS)
	text.Line("rotations                     %d, in %.0f s in all", s.Rotations, s.Seconds)
	text.Line("")
	return text.Err()
}

func orDash(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
