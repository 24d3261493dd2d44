// Command portsnare is the controller and the operator's command line.
package main

import (
	"io"
	"os"

	"github.com/portsnare/portsnare/cmd/internal/cli"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Main(newRoot(), args, cli.IO{In: stdin, Out: stdout, Err: stderr})
}
