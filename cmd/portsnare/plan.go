package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/cmd/internal/config"
	"github.com/portsnare/portsnare/rotator"
)

func newPlan(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "plan [GROUP]",
		Short: "Show what a rotation would change, and change nothing",
		Long: `Reads the cloud firewall and draws a trap set as a rotation would; the rotation
itself will draw another. Lines that begin with + would be opened, those with -
closed. Exit code 3 says that there are changes, as there always are.`,
	}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := a.load()
		if err != nil {
			return err
		}
		groups := cfg.Groups
		if len(args) > 0 {
			g, err := cfg.Group(args[0])
			if err != nil {
				return err
			}
			groups = []config.Group{g}
		}
		var answer planAnswer
		for _, g := range groups {
			firewall, err := openFirewall(c.Context(), g)
			if err != nil {
				return err
			}
			preview, err := rotator.NewPreview(c.Context(), groupOf(g), firewall, rotator.SecureRand())
			if err != nil {
				return err
			}
			answer.Plans = append(answer.Plans, preview)
		}
		if err := cli.Print(c, *asJSON, answer); err != nil {
			return err
		}
		return answer.pending()
	}
	return c
}

type planAnswer struct {
	Plans []rotator.Preview `json:"plans"`
}

// pending is the exit code of the command.
func (p planAnswer) pending() error {
	for _, preview := range p.Plans {
		if !preview.Plan.Empty() {
			return cli.ErrPending
		}
	}
	return nil
}

// WriteText implements cli.Answer.
func (p planAnswer) WriteText(w io.Writer) error {
	for _, preview := range p.Plans {
		_, err := fmt.Fprintf(w, "%s: %d to open, %d to close (%s); %d of %d openings used, %d traps\n"+
			"a scan of all ports in random order gets through with a chance of %.2f %%\n%s",
			preview.Group, len(preview.Plan.Open), len(preview.Plan.Close), preview.Way,
			preview.Used, preview.Budget, preview.Traps, 100*preview.Chance, preview.Plan)
		if err != nil {
			return err
		}
	}
	return nil
}
