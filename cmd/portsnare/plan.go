package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/rotator"
	"github.com/portsnare/portsnare/rotator/placement"
)

func newPlan(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "plan [GROUP]",
		Short: "Show what a rotation would change, and change nothing",
		Long: `Reads the cloud firewall and draws a trap set as a rotation would; the rotation
itself will draw another. A table says how likely one scanning source is to reach
a given protected port, and how many packets must be forged to have somebody else
banned, now and with other settings. Lines that begin with + would be opened,
those with - closed; how many calls that takes, and how many of the rules that
the firewall may hold are then used, is said above. Exit code 3 says that there are
changes, as there always are.`,
	}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := a.load()
		if err != nil {
			return err
		}
		groups, err := groupsOf(cfg, args)
		if err != nil {
			return err
		}
		var answer planAnswer
		owner, err := ownerOf(configuredOwner(cfg), machineIDFile, cfg.State)
		if err != nil {
			return err
		}
		for _, g := range groups {
			group := groupOf(owner, g)
			firewall, err := openFirewall(c.Context(), g.Provider, g.Firewall, group.Mark(), group.FirstMark())
			if err != nil {
				return err
			}
			preview, err := rotator.NewPreview(c.Context(), group, firewall, placement.SecureRand())
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
		_, err := fmt.Fprintf(w, "%s: %d to open, %d to close (%s, %s); %d of %d openings used (%d of %s), %d traps\n",
			preview.Group, len(preview.Plan.Open), len(preview.Plan.Close), preview.Way, count(preview.Writes, "write"),
			preview.Used, preview.Budget, preview.Rules, count(preview.Limit, "rule"), preview.Traps)
		for _, warning := range preview.Warnings {
			fmt.Fprintf(w, "warning: %s\n", warning)
		}
		if err == nil {
			err = writeTradeOff(w, preview)
		}
		if err == nil {
			_, err = io.WriteString(w, preview.Plan.String())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeTradeOff shows what the trap sets are worth beside what they would be
// with fewer and with more ports exposed: the chance of one source to reach a
// given protected port, and what it takes to have somebody else banned.
func writeTradeOff(w io.Writer, p rotator.Preview) error {
	table := cli.NewTable(w, "EXPOSED", "RANDOM ORDER", "NMAP", "SWEEP OF 100", "FORGED", "BITS", "SETTING")
	row := func(o placement.Outlook, note string) {
		table.Row(fmt.Sprintf("%d ports", o.Exposed), percent(o.Random), percent(o.Nmap), percent(o.Sweep),
			fmt.Sprintf("%.0f packets", o.Far), fmt.Sprintf("%.0f", o.Bits.Total()), note)
	}
	row(p.Outlook, "as configured")
	for _, o := range p.Others {
		row(o, "traps: {exposed: "+strconv.Itoa(o.Exposed)+", forged: "+strconv.Itoa(int(o.Far))+"}")
	}
	return table.Flush()
}

// percent writes a probability.
func percent(p float64) string { return fmt.Sprintf("%.2f %%", 100*p) }
