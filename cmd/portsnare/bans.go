package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
)

func newBans(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "bans",
		Short: "List active bans and why",
	}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var answer bansAnswer
		if err := a.question(c, verbBans, nil, &answer); err != nil {
			return err
		}
		return cli.Print(c, *asJSON, answer)
	}
	return c
}

// WriteText implements cli.Answer. Hosts whose list is not whole are named below
// the table.
func (b bansAnswer) WriteText(w io.Writer) error {
	text := cli.NewText(w)
	table := cli.NewTable(text, "SOURCE", "HOST", "SINCE", "UNTIL", "TRAPS TOUCHED")
	for _, ban := range b.Bans.Bans {
		table.Row(ban.Source.String(), ban.Host, clock(ban.Since), clock(ban.Until), reasons(ban.Hits))
	}
	table.Flush() //nolint:errcheck // text keeps it
	for _, h := range b.Hosts {
		if h.Whole {
			continue
		}
		heard := "never reported its bans to this controller run"
		if !h.Heard.IsZero() {
			heard = "last heard " + clock(h.Heard)
		}
		text.Line("")
		text.Line("%s: the list is incomplete: %s (%s)", h.Host, h.Why, heard)
	}
	return text.Err()
}

// reasons returns such as "110/tcp (bait), 40007/tcp (secret)".
func reasons(hits []portsnare.Hit) string {
	words := make([]string, len(hits))
	for i, h := range hits {
		words[i] = h.Port.String() + " (" + string(h.Class) + ")"
	}
	return strings.Join(words, ", ")
}
