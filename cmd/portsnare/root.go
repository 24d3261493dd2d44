package main

import (
	"cmp"
	"errors"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare/cmd/internal/agentcmd"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/cmd/internal/config"
)

// configEnv names the configuration where no flag does.
const configEnv = "PORTSNARE_CONFIG"

// app is what the subcommands share. Each lives in a file of its own, which has
// a function such as newCheck(*app) *cobra.Command.
type app struct {
	file    string        // as --config says; "" for not at all
	timeout time.Duration // as --timeout says; 0 for what each command takes
}

func newRoot() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:   "portsnare",
		Short: "Make port scans of cloud servers blind themselves",
		Long: `Portsnare opens random ports in each cloud firewall on which nothing listens, and
keeps moving them. These are traps: an agent on each server bans a source that
touches several of them, before the source reaches a port that matters.`,
	}
	root.PersistentFlags().StringVarP(&a.file, "config", "c", "",
		"configuration `FILE` (default $"+configEnv+", else "+config.DefaultPath+")")
	root.PersistentFlags().Var((*positive)(&a.timeout), "timeout",
		"how long to wait for the controller or a cloud, such as 90s (default "+shortly(questionTime)+" for a question, "+
			shortly(cloudTime)+" for a cloud, "+shortly(rotationTime)+" for a rotation)")
	root.AddCommand(
		newDemo(a),
		newInit(a),
		newCheck(a),
		newPlan(a),
		newSimulate(a),
		newRun(a),
		newRotate(a),
		newStatus(a),
		newBans(a),
		newEnroll(a),
		newExpel(a),
		cli.NewVersion(),
		newAgent(),
	)
	return root
}

// positive is the value of a flag that takes a duration above 0.
type positive time.Duration

// String implements pflag.Value.
func (p *positive) String() string {
	if *p == 0 {
		return ""
	}
	return time.Duration(*p).String()
}

// Type implements pflag.Value.
func (p *positive) Type() string { return "DURATION" }

// Set implements pflag.Value.
func (p *positive) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return errors.New("want a duration such as 90s or 5m")
	}
	*p = positive(d)
	return nil
}

// shortly writes a duration of whole seconds or minutes.
func shortly(d time.Duration) string {
	if d%time.Minute == 0 {
		return strconv.Itoa(int(d/time.Minute)) + "m"
	}
	return d.String()
}

// path returns where the configuration is.
func (a *app) path() string {
	return cmp.Or(a.file, os.Getenv(configEnv), config.DefaultPath)
}

// load reads the configuration. Whatever is wrong with it or keeps it from
// being read ends the program with exit code 2.
func (a *app) load() (config.Config, error) {
	c, err := config.Load(a.path())
	return c, cli.Misuse(err)
}

// newAgent is portsnare-agent's command line below `portsnare agent`, for the
// demo, which has only this binary.
func newAgent() *cobra.Command {
	agent := agentcmd.New()
	agent.Use, agent.Hidden = "agent", true
	return agent
}
