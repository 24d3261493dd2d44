package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare/cmd/internal/cli"
)

func newRotate(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "rotate [GROUP]",
		Short: "Move the traps of a group, or of all groups, now",
		Long: `Asks the running controller for a rotation and waits until it is complete. A
rotation that is pending is resumed.`,
	}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var request rotateRequest
		if len(args) > 0 {
			request.Group = args[0]
		}
		var answer rotateAnswer
		if err := a.ask(c.Context(), verbRotate, request, &answer); err != nil {
			return err
		}
		return cli.Print(c, *asJSON, answer)
	}
	return c
}

// WriteText implements cli.Answer.
func (r rotateAnswer) WriteText(w io.Writer) error {
	for _, g := range r.Groups {
		if _, err := fmt.Fprintf(w, "%s: generation %s, %d openings, %d traps\n", g.Group, g.Generation, g.Openings, g.Traps); err != nil {
			return err
		}
	}
	return nil
}
