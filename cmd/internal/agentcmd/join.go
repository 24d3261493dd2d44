package agentcmd

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/hostagent"
)

func newJoin(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "join TOKEN",
		Short: "Store the token of this host, which `portsnare enroll` printed",
		Long: `Stores the token with which this host joins its controller; "-" reads it from
standard input, so that it does not appear in the list of processes. A token
stored before is replaced. portsnare-agent run then connects.`,
		RunE: func(c *cobra.Command, args []string) error {
			word := args[0]
			if word == "-" {
				text, err := io.ReadAll(io.LimitReader(c.InOrStdin(), 1<<16))
				if err != nil {
					return err
				}
				word = string(text)
			}
			token, err := portsnare.ParseToken(word)
			if err != nil {
				return &portsnare.Error{Kind: portsnare.Invalid, Op: "join", Err: err,
					Hint: "`portsnare enroll HOST` on the controller prints a token"}
			}
			if err := hostagent.SaveToken(a.state, token); err != nil {
				return err
			}
			text := cli.NewText(c.OutOrStdout())
			text.Line("joined as %s; controller at %s", token.Host, strings.Join(token.URLs, ", "))
			return text.Err()
		},
	}
}
