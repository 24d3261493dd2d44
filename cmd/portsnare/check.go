package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/cmd/internal/config"
)

func newCheck(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "check [GROUP]",
		Short: "Check the configuration, and with --online the clouds",
		Long: `Check reads the configuration and reports every problem in it, with file, line and
column. Example values that have not been replaced are problems. Warnings are about
what is allowed and probably not meant; they leave the exit code 0. Check touches
neither network nor kernel.

With --online it also asks each cloud, or that of one group, whether the credential
works and has the permissions needed, how many rules the firewall can hold, what it
is attached to, whether rules of others admit every protected port, and how a
rotation would proceed. It changes nothing. What a cloud does not reveal is reported
as unknown, which is not a failure.`,
	}
	asJSON := cli.JSONFlag(c)
	online := c.Flags().Bool("online", false, "ask the clouds too")
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := a.load()
		problems, found := errors.AsType[config.Problems](err)
		if err != nil && !(found && *asJSON) {
			return err
		}
		answer := newCheckAnswer(a.path(), cfg, problems)
		switch {
		case len(args) > 0 && !*online:
			return cli.Misuse(errors.New("a group is checked with --online: want that too"))
		case err == nil && *online:
			if err = answer.goOnline(a, c, cfg, args); err != nil && len(answer.Online) == 0 {
				return err
			}
		}
		return errors.Join(cli.Print(c, *asJSON, answer), err)
	}
	return c
}

// goOnline examines the groups named, or all, and returns an error that says
// in which of them there are problems.
func (a *checkAnswer) goOnline(asker *app, c *cobra.Command, cfg config.Config, names []string) error {
	groups, err := groupsOf(cfg, names)
	if err != nil {
		return err
	}
	owner, err := ownerOf(cfg.Owner, machineIDFile, cfg.State)
	if err != nil {
		return err
	}
	var errs []error
	for _, g := range groups {
		found := asker.examine(c, owner, g)
		a.Online = append(a.Online, found)
		if n := found.problems(); n > 0 {
			a.OK = false
			errs = append(errs, &portsnare.Error{Kind: portsnare.Conflict, Op: "check", Subject: "group " + g.Name,
				Err: errors.New(count(n, "problem"))})
		}
	}
	return errors.Join(errs...)
}

// examine examines a group within a time.
func (a *app) examine(c *cobra.Command, owner string, g config.Group) checkup {
	examined := make(chan checkup, 1)
	late := a.await(c, cloudOf(g), func(ctx context.Context) error {
		examined <- examine(ctx, owner, g)
		return ctx.Err()
	})
	found := checkup{Group: g.Name, Kind: g.Provider.Kind, Firewall: g.Firewall}
	select {
	case found = <-examined:
	default: // abandoned
	}
	if late != nil {
		found.problem("deadline", late)
	}
	return found
}

// groupsOf returns the group that args name, or all.
func groupsOf(cfg config.Config, args []string) ([]config.Group, error) {
	if len(args) == 0 {
		return cfg.Groups, nil
	}
	g, err := cfg.Group(args[0])
	return []config.Group{g}, err
}

// checkAnswer is what is in a configuration, or what is wrong with it.
type checkAnswer struct {
	File      string          `json:"file"`
	OK        bool            `json:"ok"`        // no problem was found
	Providers int             `json:"providers"` // this and the next are 0 unless OK
	Groups    int             `json:"groups"`
	Hosts     int             `json:"hosts"`
	Problems  config.Problems `json:"problems"`
	Warnings  config.Problems `json:"warnings"`         // of what is allowed and probably not meant
	Online    []checkup       `json:"online,omitempty"` // with --online
}

func newCheckAnswer(file string, c config.Config, problems config.Problems) checkAnswer {
	answer := checkAnswer{
		File: file, OK: len(problems) == 0,
		Providers: len(c.Providers), Groups: len(c.Groups),
		Problems: append(config.Problems{}, problems...), // [] in JSON, not null
		Warnings: append(config.Problems{}, c.Warnings...),
	}
	for _, g := range c.Groups {
		answer.Hosts += len(g.Hosts)
	}
	return answer
}

// WriteText implements cli.Answer.
func (a checkAnswer) WriteText(w io.Writer) error {
	text := cli.NewText(w)
	for _, warning := range a.Warnings {
		text.Line("%s: warning: %s: %s", warning.Position(), warning.Key, warning.Message)
	}
	text.Line("%s: ok, %s, %s, %s", a.File,
		count(a.Providers, "provider"), count(a.Groups, "group"), count(a.Hosts, "host"))
	for _, found := range a.Online {
		found.WriteText(text) //nolint:errcheck // text keeps it
	}
	return text.Err()
}

// count returns "1 host" or "2 hosts".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
