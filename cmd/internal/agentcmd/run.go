package agentcmd

import (
	"context"
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/hostagent"
	"github.com/portsnare/portsnare/hostagent/link"
	"github.com/portsnare/portsnare/hostagent/nflog"
)

func newRun(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the agent",
		Long: `Run runs the agent until it is stopped by SIGINT or SIGTERM. What it has armed stays
in the kernel; portsnare-agent flush removes it. SIGHUP is ignored and logged.`,
	}
	asJSON := c.Flags().Bool("log-json", false, "log one JSON object per line")
	debug := c.Flags().Bool("debug", false, "log debug messages too")
	name := c.Flags().String("backend", auto, "`NAME` of what programs the kernel: ipset, nftables, or auto for the first that works")
	c.RunE = func(c *cobra.Command, _ []string) error {
		level := slog.LevelInfo
		if *debug {
			level = slog.LevelDebug
		}
		log := cli.NewLogger(c.ErrOrStderr(), level, *asJSON)
		defer cli.LogHangups(c.Context(), log)()
		return a.run(c.Context(), *name, log)
	}
	return c
}

// run wires the agent to the kernel and to its controller.
func (a *app) run(ctx context.Context, name string, log *slog.Logger) error {
	token, err := hostagent.LoadToken(a.state)
	if err != nil {
		return err
	}
	unlock, err := hostagent.Lock(a.state)
	if err != nil {
		return err
	}
	defer unlock() //nolint:errcheck // the process is about to end
	chosen, err := choose(ctx, name)
	if err != nil {
		return err
	}
	dialer, err := link.New(link.Options{Token: token, Logger: log})
	if err != nil {
		return err
	}
	agent := hostagent.New(hostagent.Config{
		Host: token.Host, Dir: a.state, Version: cli.Version(), Program: chosen.name,
		Backend: chosen.program, Link: dialer, Sightings: nflog.New(nflog.Options{Group: logGroup, Logger: log}),
		Listening: hostagent.Listening, Gateways: hostagent.Gateways, Controller: dialer.Controller,
		Ready:  func() { daemon.SdNotify(false, daemon.SdNotifyReady) }, //nolint:errcheck // no systemd, nobody to tell
		Logger: log,
	})
	log.Info("agent starts", "host", token.Host, "backend", chosen.name, "version", cli.Version())
	return agent.Run(ctx)
}
