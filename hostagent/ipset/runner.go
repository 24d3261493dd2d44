package ipset

import (
	"context"

	"github.com/portsnare/portsnare/hostagent/host"
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

var tools = host.Tools{
	Hint: "give the kernel what it may lack: modprobe -a ip_set xt_set xt_socket xt_addrtype xt_conntrack xt_hashlimit xt_limit xt_NFLOG; " +
		"or, if another version left something behind: portsnare-agent flush",
}

func (programs) installed(program string) bool { return tools.Installed(program) }

func (programs) start(ctx context.Context, input, program string, args ...string) wait {
	return tools.Start(ctx, input, program, args...)
}
