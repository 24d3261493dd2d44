// Package agentcmd is the agent's command line. It is a package and not part of
// portsnare-agent's main because `portsnare demo` runs the real agent, and has
// only its own binary at hand.
package agentcmd

import (
	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare/cmd/internal/cli"
)

// DefaultState is the agent's state directory unless somebody says otherwise.
const DefaultState = "/var/lib/portsnare-agent"

// app is what the subcommands share.
type app struct {
	state string // state directory
}

// New returns the command tree.
func New() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:   "portsnare-agent",
		Short: "Ban port scanners on this server, as the controller orders",
		Long: `Portsnare-agent is the agent of one server. It connects to the controller, programs
the kernel as the controller orders, and reports what the kernel saw. It opens no
port.`,
	}
	root.PersistentFlags().StringVar(&a.state, "state", DefaultState, "state `DIR`ectory, created if it is missing")
	root.AddCommand(newJoin(a), newRun(a), newStatus(a), newFlush(a), cli.NewVersion())
	return root
}
