package main

import (
	"cmp"
	"os"

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
	file string // as --config says; "" for not at all
}

func newRoot() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:   "portsnare",
		Short: "Make port scans of cloud servers blind themselves",
		Long: `Portsnare keeps opening, in each cloud firewall, random ports on which nothing
listens, and keeps moving them. An agent on each server shuts out whoever
touches several of these traps, before a port that matters is reached.`,
	}
	root.PersistentFlags().StringVarP(&a.file, "config", "c", "",
		"configuration `FILE` (default $"+configEnv+", else "+config.DefaultPath+")")
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
