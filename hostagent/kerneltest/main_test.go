package kerneltest

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

var update = flag.Bool("update", false, "write docs/kernel-conformance.md")

// TestMain lets many cases run at a time, since most of them wait for clocks.
func TestMain(m *testing.M) {
	flag.Set("test.parallel", "24") // the default of a flag that the command line may set
	flag.Parse()
	os.Exit(netlab.Main(suite{m}))
}

// scratch is a folder for this run.
var scratch string

// suite runs the tests and then has the table printed or written.
type suite struct{ m *testing.M }

func (s suite) Run() int {
	var err error
	if scratch, err = os.MkdirTemp("", "kerneltest-*"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	code := s.m.Run()
	if code != 0 {
		return code
	}
	if testing.Verbose() {
		fmt.Print(outcomes.String())
	}
	if err := finish(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// finish writes the document, or sees that it has nothing that did not run. Where
// a program is missing, or a part was asked for, nobody knows.
func finish() error {
	asked := func(name string) bool { return flag.Lookup(name).Value.String() != "" }
	whole := !asked("test.run") && !asked("test.skip") && !asked("test.list") && os.Getenv(netlab.RequiredEnv) != ""
	switch {
	case *update:
		return outcomes.write(whole)
	case whole:
		return outcomes.stale()
	}
	return nil
}
