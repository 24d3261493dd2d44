package agentcmd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/hostagent/host"
)

func newFlush(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "flush",
		Short: "Remove every trace of Portsnare from the kernel",
		Long: `Removes the agent's rules, sets and reserved ports, and nothing else. It refuses
while an agent is running, which would put them back: stop that first. While a
cloud firewall still opens traps to this host, they then answer like closed ports.`,
		RunE: func(c *cobra.Command, _ []string) error {
			running, err := a.running()
			if err != nil {
				return fmt.Errorf("flush: %w", err)
			}
			if running {
				return errRunning("flush")
			}
			for _, b := range backends() {
				if err := b.leave(c.Context()); err != nil {
					return fmt.Errorf("flush %s: %w", b.name, err)
				}
			}
			if err := nothingLeft(); err != nil {
				return err
			}
			text := cli.NewText(c.OutOrStdout())
			text.Line("nothing of Portsnare is left in the kernel")
			return text.Err()
		},
	}
}

// nothingLeft looks whether what flush is about to claim is so.
func nothingLeft() error {
	traces, err := host.Traces(tracesName)
	if err != nil || len(traces) == 0 {
		return err
	}
	var names []string
	for _, t := range traces {
		names = append(names, t.Kind+" "+t.Name)
	}
	return &portsnare.Error{Kind: portsnare.Conflict, Op: "flush", Err: errors.New("still there: " + portsnare.Plain(strings.Join(names, ", "))),
		Hint: "run it again; if they come back, stop what puts them there"}
}
