package demo

import (
	"encoding/json"
	"errors"
	"os/exec"
	"testing"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// TestDemo plays the demo as a user does and holds its answer against what its
// exit code claims.
func TestDemo(t *testing.T) {
	netlab.New(t)
	cmd := exec.CommandContext(t.Context(), binary, "demo", "--json", "--rotations", "1")
	output, err := cmd.Output()
	if err != nil {
		exit, _ := errors.AsType[*exec.ExitError](err)
		t.Fatalf("%v\n%s", err, exit.Stderr)
	}
	var got Summary
	if err := json.Unmarshal(output, &got); err != nil {
		t.Fatalf("%v in\n%s", err, output)
	}
	if failures := got.Failures(); len(failures) > 0 {
		t.Errorf("exit code 0 although %q", failures)
	}
	if got.Rotations != 1 || len(got.Scans) < 4 {
		t.Errorf("%d rotations, %d scans", got.Rotations, len(got.Scans))
	}
}

// TestSummaryTellsEveryFailure: each claim can fail.
func TestSummaryTellsEveryFailure(t *testing.T) {
	held := Summary{ProtectedFoundWithout: true, ClientConnections: 1, Scans: []Scan{{Round: 0}, {Round: 1, Banned: true}}}
	if failures := held.Failures(); len(failures) != 0 {
		t.Fatalf("failures %q, want none", failures)
	}
	for name, breakIt := range map[string]func(*Summary){
		"found nothing without": func(s *Summary) { s.ProtectedFoundWithout = false },
		"found with":            func(s *Summary) { s.ProtectedFoundWith = true },
		"not banned":            func(s *Summary) { s.Scans = []Scan{{Round: 1}} },
		"no connection":         func(s *Summary) { s.ClientConnections = 0 },
		"client failed":         func(s *Summary) { s.ClientFailures = 1 },
		"trap answered":         func(s *Summary) { s.TrapAnswers = 1 },
		"protected port closed": func(s *Summary) { s.CloudProtectedGapMS = 1 },
	} {
		broken := held
		breakIt(&broken)
		if failures := broken.Failures(); len(failures) != 1 {
			t.Errorf("%s: failures %q, want one", name, failures)
		}
	}
}
