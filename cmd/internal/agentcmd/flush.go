package agentcmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/host"
)

func newFlush() *cobra.Command {
	return &cobra.Command{
		Use:   "flush",
		Short: "Remove every trace of Portsnare from the kernel",
		Long: `Removes the agent's rules, sets and reserved ports, and nothing else. Stop the
agent first: a running one would put them back. While a cloud firewall still
opens traps to this host, they then answer like closed ports.`,
		RunE: func(c *cobra.Command, _ []string) error {
			kernels, err := usable(c.Context())
			if err != nil {
				return err
			}
			for _, k := range kernels {
				if err := k.Flush(c.Context()); err != nil {
					return err
				}
			}
			if err := ruleOut(); err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), "nothing of Portsnare is left in the kernel")
			return err
		},
	}
}

// ruleOut returns an error if something of ours is left, which a backend has
// armed that does not work here any more.
func ruleOut() error {
	left, err := host.Traces("portsnare")
	if err != nil {
		return fmt.Errorf("see what is left in the kernel: %w", err)
	}
	if len(left) == 0 {
		return nil
	}
	return &portsnare.Error{
		Kind: portsnare.Unavailable, Op: "flush", Subject: left[0],
		Err:  fmt.Errorf("%d of our sets, tables and chains are left, and the programs that could remove them are not installed", len(left)),
		Hint: "apt-get install ipset iptables nftables, and flush again",
	}
}
