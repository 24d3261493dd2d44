package host

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"

	"github.com/portsnare/portsnare"
)

// Tools are the programs of a backend.
type Tools struct {
	Hint string // what to do where one of them fails
}

// Installed reports whether a program is in the PATH.
func (Tools) Installed(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// Start starts a program and gives it its input. It does so from the thread of
// the caller, which has the network namespace. The caller must wait: that returns
// the program's output, or an error of kind [portsnare.Unavailable] that says in
// the program's own words why it failed.
func (t Tools) Start(ctx context.Context, input, program string, args ...string) (wait func() (string, error)) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Start()
	return func() (string, error) {
		if err == nil {
			err = cmd.Wait()
		}
		switch {
		case err == nil:
			return stdout.String(), nil
		case ctx.Err() != nil:
			return "", ctx.Err()
		}
		if said, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n"); said != "" {
			err = errors.New(said)
		}
		return "", &portsnare.Error{
			Kind: portsnare.Unavailable, Op: "run", Subject: strings.Join(append([]string{program}, args...), " "),
			Err: err, Hint: t.Hint,
		}
	}
}
