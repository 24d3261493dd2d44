package ipset

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"

	"github.com/portsnare/portsnare"
)

// runner runs the programs of the kernel's tools. It is the only way from here
// to the kernel, beside one file below /proc and [host.Netfilter].
type runner interface {
	// installed reports whether a program is in the PATH.
	installed(program string) bool
	// start starts a program and gives it its input. It does so from the thread
	// of the caller, which has the network namespace. The caller must wait.
	start(ctx context.Context, input, program string, args ...string) wait
}

// wait waits for a program to end and returns its output. The error says in the
// program's own words why it failed.
type wait func() (string, error)

type programs struct{}

func (programs) installed(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

func (programs) start(ctx context.Context, input, program string, args ...string) wait {
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
		return "", failed(err, program, args)
	}
}

func failed(err error, program string, args []string) error {
	return &portsnare.Error{
		Kind:    portsnare.Unavailable,
		Op:      "run",
		Subject: strings.Join(append([]string{program}, args...), " "),
		Err:     err,
		Hint: "give the kernel what it may lack: modprobe -a ip_set xt_set xt_socket xt_addrtype xt_conntrack xt_hashlimit xt_limit xt_NFLOG; " +
			"or, if another version left something behind: portsnare-agent flush",
	}
}
