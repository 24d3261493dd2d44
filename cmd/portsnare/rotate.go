package main

import (
	"cmp"
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare/cmd/internal/cli"
)

func newRotate(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "rotate [GROUP]",
		Short: "Move the traps of a group, or of all groups, now",
		Long: `Rotate asks the running controller for a rotation and waits until it is complete. If
a rotation is pending, the controller resumes it.`,
	}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var request rotateRequest
		if len(args) > 0 {
			request.Group = args[0]
		}
		var answer rotateAnswer
		w := wait{"the rotation of " + cmp.Or(request.Group, "all groups"), rotationTime,
			"the controller goes on with the rotation, and portsnare status shows how far it is"}
		ask := func(ctx context.Context) error { return a.ask(ctx, verbRotate, request, &answer) }
		if err := a.await(c, w, ask); err != nil {
			return err
		}
		return cli.Print(c, *asJSON, answer)
	}
	return c
}

// WriteText implements cli.Answer.
func (r rotateAnswer) WriteText(w io.Writer) error {
	text := cli.NewText(w)
	for _, g := range r.Groups {
		text.Line("%s: generation %s, %d openings, %d traps", g.Group, g.Generation, g.Openings, g.Traps)
	}
	return text.Err()
}
