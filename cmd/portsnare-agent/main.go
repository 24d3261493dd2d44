// Command portsnare-agent is the agent of one server.
package main

import (
	"io"
	"os"

	"github.com/portsnare/portsnare/cmd/internal/agentcmd"
	"github.com/portsnare/portsnare/cmd/internal/cli"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Main(agentcmd.New(), args, cli.IO{In: stdin, Out: stdout, Err: stderr})
}
