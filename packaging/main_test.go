// Package packaging is tests only: that the Debian packages hold what they
// should, that units are understood, and that the agent's package leaves the
// kernel alone where it must and as found where it must.
package packaging

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// debsEnv names the folder with the packages that TestMain has built.
const debsEnv = "PORTSNARE_PACKAGES"

// The versions of the agent's package that TestMain builds.
const (
	older = "1.0.0~rc1"
	newer = "1.0.0"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the packages before it moves to where there is no network, since
// Go may have modules to fetch, and only once.
func run(m *testing.M) int {
	if os.Getenv(debsEnv) != "" {
		return netlab.Main(m)
	}
	dir, err := os.MkdirTemp("", "portsnare-packages-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = errors.Join(os.Setenv(debsEnv, dir), buildAll(dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return netlab.Main(m)
}

// buildAll builds nothing where it cannot; tests that need the packages skip.
func buildAll(dir string) error {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		return nil
	}
	return errors.Join(build(dir, older), build(dir, newer))
}

// build builds the agent's package for this machine.
func build(dir, version string) error {
	cmd := exec.Command("./build", "portsnare-agent", runtime.GOARCH, dir)
	cmd.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", version, err, out)
	}
	return nil
}

// deb returns the path of the agent's package in a version.
func deb(t *testing.T, version string) string {
	t.Helper()
	need(t, "dpkg", "dpkg-deb")
	return filepath.Join(os.Getenv(debsEnv), "portsnare-agent_"+version+"_"+runtime.GOARCH+".deb")
}

// need skips a test for want of a program, except where all must run.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		_, err := exec.LookPath(program)
		switch {
		case err == nil:
		case os.Getenv(netlab.RequiredEnv) != "":
			t.Fatalf("not installed: %v", err)
		default:
			t.Skipf("not installed: %v", err)
		}
	}
}
