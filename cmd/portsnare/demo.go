package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/cmd/internal/demo"
)

func newDemo(*app) *cobra.Command {
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole product on this machine",
		Long: `Demo creates a scanner, a cloud firewall and a server in three network namespaces
and runs the real controller and the real agent in them. It scans the server without
Portsnare, and then with Portsnare through several rotations, while an innocent
client keeps connecting. It needs root, nft, ipset and iptables, and changes nothing
outside its namespaces. Exit code 0 means that every claim held.`,
	}
	rotations := c.Flags().Int("rotations", 3, fmt.Sprintf("number of rotations, 1 to %d", demo.MaxRotations))
	keep := c.Flags().Bool("keep", false, "leave everything running at the end until interrupted")
	asJSON := cli.JSONFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *rotations < 1 || *rotations > demo.MaxRotations {
			return cli.Misuse(fmt.Errorf("--rotations %d: want 1 to %d", *rotations, demo.MaxRotations))
		}
		binary, err := os.Executable()
		if err != nil {
			return err
		}
		// With --json the story goes where it is in nobody's way.
		account := c.OutOrStdout()
		if *asJSON {
			account = c.ErrOrStderr()
		}
		return runDemo(c, demo.Options{Binary: binary, Rotations: *rotations, Keep: *keep, Account: account}, *asJSON)
	}
	return c
}

func runDemo(c *cobra.Command, o demo.Options, asJSON bool) error {
	summary, err := demo.Run(c.Context(), o)
	if err != nil {
		return err
	}
	if asJSON {
		if err := cli.WriteJSON(c.OutOrStdout(), summary); err != nil {
			return err
		}
	}
	var broken []error
	for _, sentence := range summary.Failures() {
		broken = append(broken, &portsnare.Error{Kind: portsnare.Conflict, Op: "demo", Err: errors.New(sentence)})
	}
	if len(broken) == 0 {
		io.WriteString(o.Account, "every claim held\n")
	}
	return errors.Join(broken...)
}
