package demo

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// binary is the product, built once for all tests.
var binary string

func TestMain(m *testing.M) { os.Exit(netlab.Main(built{m})) }

// built runs the tests with the product's binary at hand.
type built struct{ m *testing.M }

func (b built) Run() int {
	dir, err := os.MkdirTemp("", "portsnare-binary-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "portsnare")
	args := []string{"build", "-o", binary, "github.com/portsnare/portsnare/cmd/portsnare"}
	if raceEnabled {
		args = append(args[:1], append([]string{"-race"}, args[1:]...)...)
	}
	if output, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, output)
		return 1
	}
	return b.m.Run()
}
