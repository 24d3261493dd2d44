package agentcmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare/cmd/internal/cli"
)

func newFlush() *cobra.Command {
	return &cobra.Command{
		Use:   "flush",
		Short: "Remove every trace of Portsnare from the kernel",
		Long: `Removes the agent's rules, sets and reserved ports, and nothing else. Stop the
agent first: a running one would put them back. While a cloud firewall still
opens traps to this host, they then answer like closed ports.`,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, b := range backends() {
				if err := b.leave(c.Context()); err != nil {
					return fmt.Errorf("flush %s: %w", b.name, err)
				}
			}
			text := cli.NewText(c.OutOrStdout())
			text.Line("nothing of Portsnare is left in the kernel")
			return text.Err()
		},
	}
}
