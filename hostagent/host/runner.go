package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/portsnare/portsnare"
)

// Tools are the programs of a backend.
type Tools struct {
	Hint string // what to do where the kernel lacks what one of them needs
}

// patienceWithTools is how long a program may take. The longest change, with every
// port a trap and every table full, takes two seconds.
const patienceWithTools = time.Minute

// Installed reports whether a program is in the PATH.
func (Tools) Installed(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// Start starts a program and gives it its input. It does so from the thread of
// the caller, which has the network namespace. The caller must wait: that returns
// the program's output, or an error that says in the program's own words why it
// failed. Its kind is
//
//   - [portsnare.Unavailable] if the program is missing, or it or the kernel does not
//     know what was asked for;
//   - [portsnare.Denied] without the privilege;
//   - [portsnare.Transient] if somebody else holds a lock, or the program took longer
//     than a minute or than ctx allows;
//   - [portsnare.LimitExceeded] if a table of the kernel is full;
//   - [portsnare.Conflict] if something named in the input is not there, or is in use;
//   - [portsnare.Invalid] if the program does not understand its input.
func (t Tools) Start(ctx context.Context, input, program string, args ...string) (wait func() (string, error)) {
	limited, cancel := context.WithTimeout(ctx, patienceWithTools)
	cmd := exec.CommandContext(limited, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Start()
	return func() (string, error) {
		defer cancel()
		if err == nil {
			err = cmd.Wait()
		}
		switch {
		case err == nil:
			return stdout.String(), nil
		case errors.Is(ctx.Err(), context.Canceled):
			return "", ctx.Err()
		}
		failure := &portsnare.Error{Op: "run", Subject: strings.Join(append([]string{program}, args...), " ")}
		if limited.Err() != nil {
			failure.Kind, failure.Err = portsnare.Transient, limited.Err()
			return "", failure
		}
		t.explain(failure, err, stderr.String())
		return "", failure
	}
}

// refusal is what a program says when it fails, and what that means.
type refusal struct {
	said string
	kind portsnare.Kind
	hint string // "" for that of the tools
}

const (
	hintRoot   = "run as root, or with CAP_NET_ADMIN"
	hintReport = "this is a fault of Portsnare, please report it; another --backend may work"
)

// refusals are the words of iptables 1.8, ipset 7 and nft 1.0, the first that fits
// counts. They are the only thing in which failures differ: the programs exit with 1
// for nearly all.
var refusals = []refusal{
	{"Operation not permitted", portsnare.Denied, hintRoot},
	{"Permission denied", portsnare.Denied, hintRoot},
	{"xtables lock", portsnare.Transient, "another program holds the lock of iptables, the next try may succeed"},
	{"Resource temporarily unavailable", portsnare.Transient, "the next try may succeed"},
	{"Interrupted system call", portsnare.Transient, "the next try may succeed"},
	{"Cannot allocate memory", portsnare.Transient, "the kernel is short of memory"},
	{"is full", portsnare.LimitExceeded, "entries end by themselves"},
	{"Too many open files in system", portsnare.LimitExceeded, "entries end by themselves"},
	{"Couldn't load match", portsnare.Unavailable, ""},
	{"Couldn't load target", portsnare.Unavailable, ""},
	{"missing kernel module", portsnare.Unavailable, ""},
	{"Syntax error: typename", portsnare.Unavailable, ""},
	{"Kernel error received: Invalid argument", portsnare.Unavailable, ""},
	{"not supported", portsnare.Unavailable, ""},
	{"in use by a kernel component", portsnare.Conflict, "the next try may succeed"},
	{"does not exist", portsnare.Conflict, "another program has changed the firewall, the next try may succeed"},
	{"doesn't exist", portsnare.Conflict, "another program has changed the firewall, the next try may succeed"},
	{"Error: No such file or directory", portsnare.Conflict, "another program has changed the firewall, the next try may succeed"},
	{"yntax error", portsnare.Invalid, hintReport},
	{"nknown option", portsnare.Invalid, hintReport},
	{"nknown argument", portsnare.Invalid, hintReport},
	{"nknown arg", portsnare.Invalid, hintReport},
	{"Bad argument", portsnare.Invalid, hintReport},
	{"Error in line", portsnare.Invalid, hintReport},
	{"-restore: line", portsnare.Invalid, hintReport},
}

// explain completes the failure of a program by what it said.
func (t Tools) explain(failure *portsnare.Error, err error, said string) {
	failure.Kind, failure.Hint, failure.Err = portsnare.Unavailable, t.Hint, err
	if text := gist(said); text != "" {
		failure.Err = errors.New(text)
	}
	for _, r := range refusals {
		if strings.Contains(said, r.said) {
			failure.Kind, failure.Hint = r.kind, cmp.Or(r.hint, t.Hint)
			return
		}
	}
}

// gist returns the first lines of what a program said, up to one that does not end
// in a colon.
func gist(said string) string {
	var parts []string
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		parts = append(parts, line)
		if !strings.HasSuffix(line, ":") {
			break
		}
	}
	return strings.Join(parts, " ")
}
