package main

import (
	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare/cmd/internal/cli"
)

func newVersion() *cobra.Command { return cli.NewVersion() }

// version returns the version of the running program.
func version() string { return cli.Version() }
