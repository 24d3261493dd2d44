package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/portsnare/portsnare"
)

// printing is how each command is run so that it prints something, beside a
// controller without a cloud. "" is for those that print nothing.
var printing = map[string]string{
	"demo":     "demo",
	"init":     "init -c init/portsnare.yaml",
	"check":    "check --online",
	"plan":     "plan",
	"run":      "",
	"simulate": "simulate --runs 1",
	"rotate":   "rotate",
	"status":   "status",
	"bans":     "bans",
	"enroll":   "enroll web-1 --renew",
	"expel":    "",
	"version":  "version",
	"help":     "help",

	"completion bash":       "completion bash",
	"completion zsh":        "completion zsh",
	"completion fish":       "completion fish",
	"completion powershell": "completion powershell",

	"agent join":    "agent join --state agent $TOKEN",
	"agent run":     "",
	"agent status":  "agent status --state agent",
	"agent flush":   "agent flush",
	"agent version": "agent version",
}

// isolated are the commands that program the kernel.
var isolated = []string{"demo", "agent status", "agent flush"}

// TestOutputThatCannotBeWritten: no command that prints is done when nobody got what
// it printed, as text or as JSON.
func TestOutputThatCannotBeWritten(t *testing.T) {
	s := newStage(t)
	s.env = append(s.env, "PORTSNARE_CONFIG="+s.controller(), "TOKEN="+portsnare.Token{Host: "web-1", URLs: []string{"tls://192.0.2.1:4222"}, CA: []byte{1}, Seed: "SUA"}.String())
	join := s.program("agent join --state agent $TOKEN") // which `agent status` needs
	if output, err := join.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, path := range paths(t) {
		words, ok := printing[path]
		switch {
		case !ok:
			t.Errorf("%q: want a form of this command that prints", path)
			continue
		case words == "":
			continue
		}
		for _, flags := range []string{"", " --json"} {
			if flags != "" && (path == "demo" || !s.takes(path, "json")) {
				continue // the demo's JSON is on the same stream, half a minute later
			}
			t.Run(path+flags, func(t *testing.T) {
				for name, open := range map[string]func() *os.File{"full disk": s.full, "nobody reads": s.closedPipe} {
					s.must(os.RemoveAll(filepath.Join(s.dir, "init"))) // which writes to a new file only
					cmd := s.program(words + flags)
					if slices.Contains(isolated, path) {
						isolate(cmd)
					}
					cmd.Stdout = open()
					var stderr strings.Builder
					cmd.Stderr = &stderr
					err := cmd.Run()
					if exit, _ := errors.AsType[*exec.ExitError](err); exit == nil || exit.ExitCode() != 1 {
						t.Errorf("%s: it ended with %v: want code 1\n%s", name, err, stderr.String())
					}
					if told := strings.Contains(stderr.String(), "no space left on device"); told != (name == "full disk") {
						t.Errorf("%s: it said\n%s", name, stderr.String())
					}
				}
			})
		}
	}
}

// controller starts one without a cloud and returns its configuration.
func (s *stage) controller() string {
	s.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	free.Close()
	dir := s.TempDir()
	path := filepath.Join(dir, "portsnare.yaml")
	s.must(os.WriteFile(path, fmt.Appendf(nil, `state: %s/state
link: {listen: "%s"}
providers: {bare: {kind: none}}
groups:
  web: {provider: bare, protect: [8443/tcp], hosts: [web-1], rotate: 12h, grace: 0s, report_timeout: 1s, on_missing: proceed}
`, dir, free.Addr()), 0o600))
	cmd := s.program("run -c " + path)
	log, err := cmd.StderrPipe()
	s.must(err)
	s.must(cmd.Start())
	s.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // Wait says what became of it
		cmd.Wait()                          //nolint:errcheck // TestSignals looks at it
	})
	lines := bufio.NewScanner(log)
	var said strings.Builder
	for !strings.Contains(lines.Text(), "controller is ready") {
		if !lines.Scan() {
			s.Fatalf("no controller: %v\n%s", lines.Err(), said.String())
		}
		said.WriteString(lines.Text() + "\n")
	}
	go func() { // until the controller ends
		for lines.Scan() {
		}
	}()
	return path
}

// takes reports whether a command has a flag.
func (s *stage) takes(path, flag string) bool {
	c, _, err := newRoot().Find(strings.Fields(path))
	return err == nil && c.Flags().Lookup(flag) != nil
}

func (s *stage) full() *os.File {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	s.must(err)
	s.Cleanup(func() { f.Close() })
	return f
}

func (s *stage) closedPipe() *os.File {
	r, w, err := os.Pipe()
	s.must(err)
	r.Close()
	s.Cleanup(func() { w.Close() })
	return w
}
