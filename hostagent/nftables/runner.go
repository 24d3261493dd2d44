package nftables

import (
	"context"

	"github.com/portsnare/portsnare/hostagent/host"
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

var tools = host.Tools{
	Hint: "see that the kernel has it: modprobe -a nf_tables nft_ct nft_fib_inet nft_limit nft_log nft_socket nfnetlink_log",
}

func (program) installed() bool { return tools.Installed("nft") }

func (program) nft(ctx context.Context, input string, args ...string) (string, error) {
	return tools.Start(ctx, input, "nft", args...)()
}
