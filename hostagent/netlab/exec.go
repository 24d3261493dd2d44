//go:build linux

package netlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
)

// ErrNotInstalled is returned by what needs a program that this machine lacks.
var ErrNotInstalled = errors.New("program not installed")

// Cmd is an exec.Cmd whose program runs in a namespace.
type Cmd struct {
	*exec.Cmd
	ns *Namespace
}

// Command prepares a program to run in the namespace. It is killed when ctx is
// done, when the namespace is closed and when this process dies; to let it live
// on, clear SysProcAttr.Pdeathsig.
func (ns *Namespace) Command(ctx context.Context, name string, args ...string) *Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return &Cmd{Cmd: cmd, ns: ns}
}

// Start starts the program, in the namespace, and does not wait for it.
func (c *Cmd) Start() error { return c.ns.onKeeper(c.Cmd.Start) }

// Run starts the program and waits for it to end.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns what it wrote to standard output. What
// it wrote to standard error is part of the error.
func (c *Cmd) Output() ([]byte, error) {
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("%s in %s: %w: %s",
			c.Args[0], c.ns.Name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// CombinedOutput runs the program and returns all that it wrote.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var both bytes.Buffer
	c.Stdout, c.Stderr = &both, &both
	err := c.Run()
	return both.Bytes(), err
}

// installed returns ErrNotInstalled unless a program is in the PATH.
func installed(program string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%s: %w", program, ErrNotInstalled)
	}
	return nil
}
