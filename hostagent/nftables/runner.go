package nftables

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"

	"github.com/portsnare/portsnare"
)

// runner runs nft. It is the only way from here to the kernel, beside one file
// below /proc and, for haste, [host.Netfilter].
type runner interface {
	// installed reports whether nft is in the PATH.
	installed() bool
	// nft gives nft its input and returns its output. The error says in nft's
	// own words why it failed.
	nft(ctx context.Context, input string, args ...string) (string, error)
}

type program struct{}

func (program) installed() bool {
	_, err := exec.LookPath("nft")
	return err == nil
}

func (program) nft(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "nft", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
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
		Kind:    portsnare.Unavailable,
		Op:      "run",
		Subject: strings.Join(append([]string{"nft"}, args...), " "),
		Err:     err,
		Hint:    "see that the kernel has it: modprobe -a nf_tables nft_ct nft_fib_inet nft_limit nft_log nft_socket nfnetlink_log",
	}
}
