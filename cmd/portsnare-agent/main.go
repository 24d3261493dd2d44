// Command portsnare-agent is the agent of one server.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/portsnare/portsnare/cmd/internal/agentcmd"
	"github.com/portsnare/portsnare/cmd/internal/cli"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.Run(ctx, agentcmd.New(), args, cli.IO{In: stdin, Out: stdout, Err: stderr})
}
