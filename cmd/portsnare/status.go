package main

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/rotator"
)

func newStatus(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the groups, the hosts, and what is armed where",
		Long: `Status asks the running controller for its groups and hosts. It counts the traps
and does not name them: where they are is a secret.`,
	}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var answer statusAnswer
		if err := a.question(c, verbStatus, nil, &answer); err != nil {
			return err
		}
		return cli.Print(c, *asJSON, answer)
	}
	return c
}

// WriteText implements cli.Answer.
func (s statusAnswer) WriteText(w io.Writer) error {
	text := cli.NewText(w)
	groups := cli.NewTable(text, "GROUP", "GENERATION", "TRAPS", "OPENINGS", "ROTATED", "NEXT", "PENDING")
	for _, g := range s.Groups {
		groups.Row(g.Group, g.Generation.String(), strconv.Itoa(g.Traps), strconv.Itoa(g.Openings),
			clock(g.RotatedAt), clock(g.NextAt), g.Pending)
	}
	groups.Flush() //nolint:errcheck // text keeps it
	text.Line("")
	hosts := cli.NewTable(text, "HOST", "GROUP", "ARMED", "SEEN", "BANS", "PROBLEM")
	for _, g := range s.Groups {
		for _, h := range g.Hosts {
			hosts.Row(h.Host, g.Group, armed(h), clock(h.SeenAt), strconv.Itoa(h.Bans), problem(h))
		}
	}
	hosts.Flush() //nolint:errcheck // text keeps it
	for _, p := range s.Problems {
		text.Line("")
		text.Line("controller: %s", p.Text)
		if p.Hint != "" {
			text.Line("hint: %s", p.Hint)
		}
	}
	for _, g := range s.Groups {
		writeNotes(text, g)
	}
	return text.Err()
}

// writeNotes writes what there is to say of a group beside its rows.
func writeNotes(text *cli.Text, g rotator.Status) {
	if g.Retired {
		text.Line("")
		text.Line("%s: %s", g.Group, withdrawal(g))
	}
	if len(g.Leaving) > 0 {
		text.Line("")
		text.Line("%s: hosts that left the group keep its traps until the next rotation is complete: %s", g.Group, strings.Join(g.Leaving, ", "))
	}
	for _, stray := range g.Strays {
		text.Line("")
		text.Line("%s: %s with the mark %q, which is not the group's", g.Group, count(stray.Openings, "opening"), stray.Mark)
	}
	if g.Problem == "" {
		return
	}
	text.Line("")
	text.Line("%s: %s", g.Group, g.Problem)
	if g.Hint != "" {
		text.Line("hint: %s", g.Hint)
	}
}

// withdrawal says how far a group has come that is no longer configured.
func withdrawal(g rotator.Status) string {
	if g.Traps == 0 && g.Pending == "" {
		return "no longer configured; nothing of it is open any more"
	}
	return "no longer configured; its openings are being closed"
}

func problem(h rotator.HostStatus) string {
	switch {
	case h.Problem != "":
		return h.Problem
	case len(h.Full) > 0:
		return "full: " + strings.Join(h.Full, ", ")
	case h.Repairs > 0:
		return count(h.Repairs, "repair") + " of its kernel, which others change"
	}
	return ""
}

func armed(h rotator.HostStatus) string {
	if h.Armed {
		return "yes"
	}
	return "no"
}

// clock returns a time as people read it, or "" for none.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}
