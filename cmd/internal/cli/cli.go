// Package cli is what the command lines of portsnare and portsnare-agent have
// in common: exit codes, how errors and hints are told, answers as text and as
// JSON, tables, the log.
//
// Answers go to standard output, all else to standard error. Help that was
// asked for is an answer.
package cli

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
)

// The exit codes.
const (
	ExitDone    = 0
	ExitFailed  = 1
	ExitMisuse  = 2 // of the command line or in the configuration
	ExitPending = 3 // nothing failed; there are changes to be made
)

// ErrPending ends a command that only looked and found changes to be made. It
// is told by the exit code alone.
var ErrPending = errors.New("changes pending")

// IO is a program's three streams.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
}

// Run runs the command of a tree that args name, prints its error, and returns the
// exit code. A command whose standard output cannot be written is canceled and has
// failed. How many arguments a command takes follows from its
// Use line: "enroll HOST" takes one, "plan [GROUP]" at most one.
func Run(ctx context.Context, root *cobra.Command, args []string, streams IO) int {
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	out, errs := &output{w: streams.Out, failed: fail}, &output{w: streams.Err}
	root.SetArgs(args)
	root.SetIn(streams.In)
	root.SetOut(out)
	root.SetErr(errs)
	prepare(root)
	err := root.ExecuteContext(running)
	if unknown := unknownCommand(root, args); err != nil && unknown != nil {
		err = unknown
	}
	switch {
	case out.Err() != nil: // whatever the command made of it
		err = out.Err()
	case ctx.Err() != nil && err != nil && !errors.Is(err, ErrPending): // what else went wrong is its consequence
		err = errInterrupted
	}
	tell(errs, err)
	return exitCode(err)
}

func exitCode(err error) int {
	switch {
	case err == nil:
		return ExitDone
	case errors.Is(err, ErrPending):
		return ExitPending
	case portsnare.KindOf(err) == portsnare.Invalid:
		return ExitMisuse
	}
	return ExitFailed
}

// Misuse turns err into one that ends the program with exit code 2.
func Misuse(err error) error {
	if err == nil || portsnare.KindOf(err) == portsnare.Invalid {
		return err
	}
	return &portsnare.Error{Kind: portsnare.Invalid, Err: err}
}

// placed is an error that says itself where in a file it is, and all else.
type placed interface {
	Position() string
}

// tell writes an error as people read it: "error: op subject: cause" and, if
// there is one, "hint: what to type". Of several errors, each. An error that fills
// several lines has all but the first indented, so that none of them can pass for
// a hint of ours.
func tell(w io.Writer, err error) {
	if err == nil || errors.Is(err, ErrPending) || pipeClosed(err) {
		return
	}
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		for _, each := range list.Unwrap() {
			tell(w, each)
		}
		return
	}
	text := NewText(w) // an error of standard error has nowhere to go
	if _, ok := err.(placed); ok {
		for line := range strings.Lines(err.Error()) {
			text.Line("%s", strings.TrimSuffix(line, "\n"))
		}
		return
	}
	first, more, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	text.Line("error: %s", first)
	for line := range strings.Lines(more) {
		text.Line("  %s", strings.TrimSuffix(line, "\n"))
	}
	if hint := portsnare.HintOf(err); hint != "" {
		text.Line("hint: %s", hint)
	}
}
