package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/cmd/internal/config"
	"github.com/portsnare/portsnare/cmd/internal/simulate"
	"github.com/portsnare/portsnare/rotator/placement"
)

// simulateFlags are what the command line says of a simulation.
type simulateFlags struct {
	budget  int
	protect []string
	public  []string
	strikes int
	runs    int
	seed    uint64
	plots   string
}

func newSimulate(a *app) *cobra.Command {
	var f simulateFlags
	c := &cobra.Command{
		Use:   "simulate [GROUP]",
		Short: "Simulate port scans and count how many find a hidden port",
		Long: `Simulate draws trap sets, plays scans against them and counts how many reach a
hidden port, beside the closed form where there is one and beside other placements.
It then plays two adversaries: one who forges packets to have others banned, and one
who sacrifices addresses to learn where the traps are. The ports, the traps and the
policy come from a group of the configuration or, without --config, from the flags.
It asks no cloud and sends no packet. docs/placement.md explains the figures.`,
	}
	flags := c.Flags()
	flags.IntVar(&f.budget, "budget", 58, "number of openings that the firewall has room for; AWS has 60, less a protected and a public port")
	flags.StringSliceVar(&f.protect, "protect", []string{"39172/tcp"}, "`PORTS` to hide, if there is no configuration")
	flags.StringSliceVar(&f.public, "public", []string{"443/tcp"}, "`PORTS` that are publicly known, if there is no configuration")
	flags.IntVar(&f.strikes, "strikes", portsnare.DefaultPolicy().Strikes, "number of strikes for a ban, if there is no configuration")
	flags.IntVar(&f.runs, "runs", 10_000, "number of scans per cell of the table")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of the random numbers; the same seed gives the same answer")
	flags.StringVar(&f.plots, "plots", "", "also write plots into this `FOLDER`, as PNG and SVG")
	asJSON := cli.JSONFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		options, err := a.simulation(f, args)
		if err != nil {
			return err
		}
		report, err := simulate.Run(c.Context(), options)
		if err != nil {
			return err
		}
		if f.plots != "" {
			if err := simulate.Plot(c.Context(), options, f.plots); err != nil {
				return err
			}
		}
		return cli.Print(c, *asJSON, report)
	}
	return c
}

// simulation returns what to simulate.
func (a *app) simulation(f simulateFlags, args []string) (simulate.Options, error) {
	group, err := a.simulated(f, args)
	if err != nil {
		return simulate.Options{}, err
	}
	if f.runs < 1 {
		return simulate.Options{}, cli.Misuse(errors.New("--runs: want at least 1"))
	}
	terrain := placement.Terrain{Hidden: group.Protect, Avoid: group.Avoid.Union(group.Protected()), Budget: f.budget}
	if terrain.Hidden.Of(portsnare.TCP).Empty() {
		return simulate.Options{}, cli.Misuse(errors.New("no TCP port to hide: want one under protect"))
	}
	spec, err := wishOf(group.Traps).On(terrain, group.Policy.Strikes)
	return simulate.Options{Spec: spec, Terrain: terrain, Rules: simulate.Rules{Policy: group.Policy}, Runs: f.runs, Seed: f.seed}, err
}

// simulated returns the group to simulate: of the configuration where one is
// named, else as the flags make it up.
func (a *app) simulated(f simulateFlags, args []string) (config.Group, error) {
	if a.file != "" || len(args) > 0 || os.Getenv(configEnv) != "" {
		cfg, err := a.load()
		if err != nil {
			return config.Group{}, err
		}
		if len(args) > 0 {
			return cfg.Group(args[0])
		}
		return cfg.Groups[0], nil
	}
	group := config.Group{Traps: config.Traps{Auto: true, Limits: placement.DefaultLimits()}, Policy: portsnare.DefaultPolicy()}
	group.Policy.Strikes = f.strikes
	err := group.Policy.Validate()
	for _, list := range []struct {
		ports []string
		to    *portsnare.PortSet
	}{{f.protect, &group.Protect}, {f.public, &group.Public}} {
		for _, text := range list.ports {
			r, bad := portsnare.ParsePortRange(text)
			err = errors.Join(err, bad)
			*list.to = list.to.Union(portsnare.NewPortSet(r))
		}
	}
	return group, err
}
