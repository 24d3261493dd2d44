package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/rotator/hub"
)

func newEnroll(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "enroll HOST",
		Short: "Enroll a host and print the token with which it joins",
		Long: `Enroll asks the running controller for a token for one of the hosts in the
configuration and prints it. On the host, run

	portsnare-agent join TOKEN

The token works once and expires. It is a secret until then; the controller keeps
only its public half.`,
	}
	renew := c.Flags().Bool("renew", false, "replace the host's present credential, which stops working")
	valid := c.Flags().Duration("valid", hub.DefaultValid, "how long the token can be used to join")
	asJSON := cli.JSONFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var answer enrollAnswer
		if err := a.question(c, verbEnroll, enrollRequest{Host: args[0], Renew: *renew, Valid: *valid}, &answer); err != nil {
			return err
		}
		return cli.Print(c, *asJSON, answer)
	}
	return c
}

// WriteText implements cli.Answer: the token alone, ready for a pipe.
func (e enrollAnswer) WriteText(w io.Writer) error {
	// Not as a line of text: a token is longer than those may be, and must not be cut.
	if strings.IndexFunc(e.Token, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return &portsnare.Error{Kind: portsnare.Invalid, Op: "print the token", Err: errors.New("the controller's answer is no token")}
	}
	_, err := fmt.Fprintln(w, e.Token)
	return err
}

func newExpel(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "expel HOST",
		Short: "Revoke the credential of a host at once",
		Long: `Expel asks the running controller to revoke the host's credential and to close its
connection. What the host has armed stays armed until you run portsnare-agent
flush there.`,
		RunE: func(c *cobra.Command, args []string) error {
			return a.question(c, verbExpel, expelRequest{Host: args[0]}, nil)
		},
	}
}
