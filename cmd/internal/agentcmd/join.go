package agentcmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/hostagent"
	"github.com/portsnare/portsnare/hostagent/link"
)

func newJoin(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "join TOKEN",
		Short: "Join the controller with a token that `portsnare enroll` printed",
		Long: `Contacts the controller and exchanges the token for a credential of this host,
whose key is made here. The token is void afterwards. "-" reads it from standard
input, so that it does not appear in the list of processes. A credential stored
before is replaced once the controller has accepted the new one. Then start the
agent, or restart it: systemctl restart portsnare-agent`,
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
			if err := a.join(c.Context(), token); err != nil {
				return err
			}
			text := cli.NewText(c.OutOrStdout())
			text.Line("joined as %s; controller at %s", token.Host, strings.Join(token.URLs, ", "))
			return text.Err()
		},
	}
}

// join exchanges the token. The new credential is stored in a place of its own
// until the controller has accepted it, so that a token which is refused costs a
// host nothing, and a lost answer is made good by joining again.
func (a *app) join(ctx context.Context, token portsnare.Token) error {
	if token.Use == portsnare.ForEver { // of a controller of the first version
		return hostagent.SaveToken(a.state, token)
	}
	pending := filepath.Join(a.state, "joining")
	credential, err := hostagent.LoadToken(pending)
	if err != nil || credential.Host != token.Host || string(credential.CA) != string(token.CA) {
		if credential, err = link.NewCredential(token); err != nil {
			return err
		}
	}
	credential.URLs = token.URLs
	if err := os.MkdirAll(a.state, 0o700); err != nil {
		return fmt.Errorf("store the credential: %w", err)
	}
	if err := hostagent.SaveToken(pending, credential); err != nil {
		return err
	}
	if err := link.Join(ctx, token, credential); err != nil {
		return err
	}
	if err := hostagent.SaveToken(a.state, credential); err != nil {
		return err
	}
	return os.RemoveAll(pending)
}
