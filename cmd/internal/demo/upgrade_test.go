package demo

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// Versions that today's must get along with.
var oldVersions = []struct{ name, commit string }{
	{"the first version", "5df1bc93aa660cbfbf1553510d75e3bbcfaa8131"},
	{"the first with serials", "cf85ea502f487578e362b0b210650cc9c7676f09"},
}

// TestUpgrade: a controller or an agent that is newer than its peer takes it
// through rotations, whichever of the two is upgraded first, and so do both
// upgraded. What was armed stays armed all the while.
func TestUpgrade(t *testing.T) {
	netlab.New(t)
	for _, old := range oldVersions {
		t.Run(old.name, func(t *testing.T) {
			before := buildOld(t, old.commit)
			for name, first := range map[string]func(*drill){
				"controller first": func(d *drill) { d.upgradeController(); d.rest(); d.upgradeAgent() },
				"agent first":      func(d *drill) { d.upgradeAgent(); d.rest(); d.upgradeController() },
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					d := newDrillOf(t, before, fewTraps)
					d.rest()
					first(d)
					d.rest()
				})
			}
		})
	}
}

// buildOld returns the product as it was at a commit of this repository.
func buildOld(t *testing.T, commit string) (path string) {
	t.Helper()
	dir := t.TempDir()
	top, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		missing(t, "this is no git checkout")
	}
	archive := exec.Command("git", "-C", strings.TrimSpace(string(top)), "archive", "--format=tar", "-o", filepath.Join(dir, "old.tar"), commit)
	if output, err := archive.CombinedOutput(); err != nil {
		missing(t, "the checkout has no commit "+commit+": "+string(output))
	}
	path = filepath.Join(dir, "portsnare")
	for _, args := range [][]string{
		{"tar", "-xf", "old.tar"},
		{"go", "build", "-o", path, "./cmd/portsnare"},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args[0], err, output)
		}
	}
	return path
}

// missing skips a test that needs the history, except where all must run.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv(netlab.RequiredEnv) != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// upgradeController stops the controller and starts today's on its state.
func (d *drill) upgradeController() {
	d.Helper()
	d.controller.kill()
	d.binary, d.cloudKeys = binary, shortCalls
	d.must(d.configure())
	d.must(d.StartController())
}

// upgradeAgent stops the agent and starts today's on its state.
func (d *drill) upgradeAgent() {
	d.Helper()
	d.agent.kill()
	d.agentBinary = binary
	d.must(d.StartAgent())
}
