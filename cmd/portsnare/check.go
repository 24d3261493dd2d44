package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/cmd/internal/config"
)

func newCheck(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration",
		Long: `Check reads the configuration and names everything that is wrong with it, each
problem with its place. It touches neither network nor kernel.`,
	}
	asJSON := cli.JSONFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := a.load()
		problems, found := errors.AsType[config.Problems](err)
		if err != nil && !(found && *asJSON) {
			return err
		}
		return errors.Join(cli.Print(c, *asJSON, newCheckAnswer(a.path(), cfg, problems)), err)
	}
	return c
}

// checkAnswer is what is in a configuration, or what is wrong with it.
type checkAnswer struct {
	File      string          `json:"file"`
	OK        bool            `json:"ok"`
	Providers int             `json:"providers"` // this and the next are 0 unless OK
	Groups    int             `json:"groups"`
	Hosts     int             `json:"hosts"`
	Problems  config.Problems `json:"problems"`
}

func newCheckAnswer(file string, c config.Config, problems config.Problems) checkAnswer {
	answer := checkAnswer{
		File: file, OK: len(problems) == 0,
		Providers: len(c.Providers), Groups: len(c.Groups),
		Problems: append(config.Problems{}, problems...), // [] in JSON, not null
	}
	for _, g := range c.Groups {
		answer.Hosts += len(g.Hosts)
	}
	return answer
}

// WriteText implements cli.Answer.
func (a checkAnswer) WriteText(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s: ok, %s, %s, %s\n", a.File,
		count(a.Providers, "provider"), count(a.Groups, "group"), count(a.Hosts, "host"))
	return err
}

// count returns "1 host" or "2 hosts".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
