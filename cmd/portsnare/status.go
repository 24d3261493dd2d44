package main

import (
	"fmt"
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
		Short: "Say which generation is armed where",
		Long: `Asks the running controller for its groups and hosts. Traps are counted and not
named: where they are is a secret.`,
	}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var answer statusAnswer
		if err := a.ask(c.Context(), verbStatus, nil, &answer); err != nil {
			return err
		}
		return cli.Print(c, *asJSON, answer)
	}
	return c
}

// WriteText implements cli.Answer.
func (s statusAnswer) WriteText(w io.Writer) error {
	groups := cli.NewTable(w, "GROUP", "GENERATION", "TRAPS", "OPENINGS", "ROTATED", "NEXT", "PENDING")
	for _, g := range s.Groups {
		groups.Row(g.Group, g.Generation.String(), strconv.Itoa(g.Traps), strconv.Itoa(g.Openings),
			clock(g.RotatedAt), clock(g.NextAt), g.Pending)
	}
	if err := groups.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	hosts := cli.NewTable(w, "HOST", "GROUP", "ARMED", "SEEN", "BANS", "PROBLEM")
	for _, g := range s.Groups {
		for _, h := range g.Hosts {
			hosts.Row(h.Host, g.Group, armed(h), clock(h.SeenAt), strconv.Itoa(h.Bans), problem(h))
		}
	}
	if err := hosts.Flush(); err != nil {
		return err
	}
	for _, g := range s.Groups {
		for _, stray := range g.Strays {
			fmt.Fprintf(w, "\n%s: %s with the mark %q, which is not the group's\n", g.Group, count(stray.Openings, "opening"), stray.Mark)
		}
		if g.Problem == "" {
			continue
		}
		fmt.Fprintf(w, "\n%s: %s\n", g.Group, g.Problem)
		if g.Hint != "" {
			fmt.Fprintf(w, "hint: %s\n", g.Hint)
		}
	}
	return nil
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
