package demo

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// patience is how long a program may take to end after a signal: a second, and one
// more where this machine is busy.
const patience = 2 * time.Second

// TestDemoInterrupted: at whatever point a signal comes, nothing is left of the demo:
// no program, no folder, no pinned namespace.
func TestDemoInterrupted(t *testing.T) {
	netlab.New(t)
	for _, test := range []struct {
		name, line string // that it prints when the signal is sent
		args       []string
	}{
		{"at the beginning", "Three network namespaces", nil},
		{"while it scans", "WITHOUT PORTSNARE", nil},
		{"when controller and agent run", "portsnare-agent run", nil},
		{"during a rotation", "ROTATION 1", nil},
		{"when all is over", keepMessage, []string{"--keep", "--rotations", "1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.CommandContext(t.Context(), binary, append([]string{"demo"}, test.args...)...)
			cmd.Env = append(os.Environ(), "TMPDIR="+dir)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			for !strings.Contains(lines.Text(), test.line) {
				if !lines.Scan() {
					t.Fatalf("no line with %q: %v\n%s", test.line, lines.Err(), stderr.String())
				}
			}
			began := time.Now()
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, stdout) //nolint:errcheck // it ends with the process
			err = cmd.Wait()
			if took := time.Since(began); took > patience {
				t.Errorf("it took %s to end", took)
			}
			if exit, _ := errors.AsType[*exec.ExitError](err); exit == nil || exit.ExitCode() != 1 {
				t.Errorf("it ended with %v\n%s", err, stderr.String())
			}
			for _, pattern := range []string{dir + "/*", "/run/netns/*"} {
				if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
					t.Errorf("left behind: %q, %v", left, err)
				}
			}
			if left := runningIn(dir); len(left) > 0 {
				t.Errorf("still running: %q", left)
			}
		})
	}
}

// runningIn returns the command lines that name a folder.
func runningIn(dir string) (found []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is right
	for _, path := range all {
		if line, err := os.ReadFile(path); err == nil && bytes.Contains(line, []byte(dir)) {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return found
}

// TestServicesStop: controller and agent log a SIGHUP, go on, and end within a second
// of SIGTERM with another code than 0.
func TestServicesStop(t *testing.T) {
	d := newDrill(t, fewTraps)
	for _, p := range []*process{d.controller, d.agent} {
		for range 2 {
			offset := p.log.len()
			d.must(p.cmd.Process.Signal(syscall.SIGHUP))
			d.must(p.awaitLog(d.ctx, offset, "level=WARN", "ignored SIGHUP"))
		}
	}
	d.rest() // they go on
	for _, p := range []*process{d.agent, d.controller} {
		began := time.Now()
		d.must(p.cmd.Process.Signal(syscall.SIGTERM))
		<-p.done
		if took := time.Since(began); took > patience {
			t.Errorf("%s took %s to end", p.name, took)
		}
		if exit, _ := errors.AsType[*exec.ExitError](p.err); exit == nil || exit.ExitCode() != 1 {
			t.Errorf("%s ended with %v\n%s", p.name, p.err, p.log.tail(5))
		}
	}
}
