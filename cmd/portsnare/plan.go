package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/cmd/internal/config"
	"github.com/portsnare/portsnare/rotator"
	"github.com/portsnare/portsnare/rotator/placement"
)

func newPlan(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "plan [GROUP]",
		Short: "Show what a rotation would change, and change nothing",
		Long: `Plan reads the cloud firewall and draws a trap set as a rotation would. The rotation
itself will draw another one. The first line shows how many API writes the change
takes and how many of the firewall's rules it uses. The table shows how likely one
scanning source is to reach a given protected port, and how many packets an attacker
must forge to have somebody else banned, with the present settings and with others.
Lines that begin with + would be opened, lines that begin with - would be closed.
Exit code 3 means that there are changes, as there always are.`,
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
		owner, err := ownerOf(cfg.Owner, machineIDFile, cfg.State)
		if err != nil {
			return err
		}
		answer.owner = owner
		for _, g := range groups {
			if err := a.await(c, cloudOf(g), func(ctx context.Context) error { return answer.add(ctx, g) }); err != nil {
				return err
			}
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
	owner string
}

// add adds what a rotation of the group would change.
func (p *planAnswer) add(ctx context.Context, g config.Group) error {
	group := groupOf(p.owner, g)
	firewall, err := openFirewall(ctx, g.Provider, g.Firewall, group.Mark(), group.FirstMark())
	if err != nil {
		return err
	}
	preview, err := rotator.NewPreview(ctx, group, firewall, placement.SecureRand())
	if err != nil {
		return err
	}
	p.Plans = append(p.Plans, preview)
	return nil
}

// cloudOf is what a command waits for that asks the cloud of a group.
func cloudOf(g config.Group) wait {
	return wait{"the cloud of group " + g.Name, cloudTime, "check this machine's network and the status of the cloud's API"}
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
	text := cli.NewText(w)
	for _, preview := range p.Plans {
		text.Line("%s: %d to open, %d to close (%s, %s); %d of %d openings used (%d of %s), %d traps",
			preview.Group, len(preview.Plan.Open), len(preview.Plan.Close), preview.Way, count(preview.Writes, "write"),
			preview.Used, preview.Budget, preview.Rules, count(preview.Limit, "rule"), preview.Traps)
		for _, warning := range preview.Warnings {
			text.Line("warning: %s", warning)
		}
		for _, s := range preview.Strays {
			whose, hint := tellStray(p.owner, s)
			text.Line("warning: %s", whose)
			text.Line("hint: %s", hint)
		}
		writeTradeOff(text, preview)
		writeChanges(text, preview.Plan)
	}
	return text.Err()
}

// writeChanges writes a line for each change. What the cloud calls a rule stays in it.
func writeChanges(text *cli.Text, plan portsnare.Plan) {
	change := func(one portsnare.Plan) { text.Line("%s", strings.TrimSuffix(one.String(), "\n")) }
	for _, o := range plan.Open {
		change(portsnare.Plan{Open: []portsnare.Opening{o}})
	}
	for _, r := range plan.Close {
		change(portsnare.Plan{Close: []portsnare.Rule{r}})
	}
	for _, r := range plan.Held {
		change(portsnare.Plan{Held: []portsnare.Rule{r}})
	}
}

// writeTradeOff shows what the trap sets are worth beside what they would be
// with fewer and with more ports exposed: the chance of one source to reach a
// given protected port, and what it takes to have somebody else banned.
func writeTradeOff(text *cli.Text, p rotator.Preview) {
	table := cli.NewTable(text, "EXPOSED", "RANDOM ORDER", "NMAP", "SWEEP OF 100", "FORGED", "BITS", "SETTING")
	row := func(o placement.Outlook, note string) {
		table.Row(fmt.Sprintf("%d ports", o.Exposed), percent(o.Random), percent(o.Nmap), percent(o.Sweep),
			fmt.Sprintf("%.0f packets", o.Far), fmt.Sprintf("%.0f", o.Bits.Total()), note)
	}
	row(p.Outlook, "as configured")
	for _, o := range p.Others {
		row(o, "traps: {exposed: "+strconv.Itoa(o.Exposed)+", forged: "+strconv.Itoa(int(o.Far))+"}")
	}
	table.Flush() //nolint:errcheck // text keeps it
}

// percent writes a probability.
func percent(p float64) string { return fmt.Sprintf("%.2f %%", 100*p) }
