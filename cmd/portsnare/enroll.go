package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/rotator/hub"
)

func newEnroll(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "enroll HOST",
		Short: "Print a token with which a host can join",
		Long: `Asks the running controller for a token for one of the configuration's hosts and
prints it. On the host, type

	portsnare-agent join TOKEN

The token works once and expires. It is a secret until then; the controller keeps
only its public half.`,
	}
	renew := c.Flags().Bool("renew", false, "end the host's present credential and print a new token")
	valid := c.Flags().Duration("valid", hub.DefaultValid, "how long the token can be used to join")
	asJSON := cli.JSONFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var answer enrollAnswer
		if err := a.ask(c.Context(), verbEnroll, enrollRequest{Host: args[0], Renew: *renew, Valid: *valid}, &answer); err != nil {
			return err
		}
		return cli.Print(c, *asJSON, answer)
	}
	return c
}

// WriteText implements cli.Answer: the token alone, ready for a pipe.
func (e enrollAnswer) WriteText(w io.Writer) error {
	_, err := fmt.Fprintln(w, e.Token)
	return err
}

func newExpel(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "expel HOST",
		Short: "End the credential of a host at once",
		Long: `Asks the running controller to end the host's credential and connection. What
the host has armed stays armed until portsnare-agent flush there.`,
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), verbExpel, expelRequest{Host: args[0]}, nil)
		},
	}
}
