package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/config"
)

func newInit(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a commented configuration to start from",
		Long: `Init writes a commented configuration, with example values to be replaced. It
never overwrites a file.`,
	}
	stdout := c.Flags().Bool("stdout", false, "write to standard output instead of a file")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *stdout {
			_, err := c.OutOrStdout().Write(config.Example)
			return err
		}
		if err := writeNew(a.path(), config.Example); err != nil {
			return initError(a.path(), err)
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s: written; next, edit it and run: portsnare check -c %[1]s\n", a.path())
		return err
	}
	return c
}

// writeNew writes a file that must not be there yet, and its directories.
func writeNew(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // half a file is none
	}
	return nil
}

func initError(path string, err error) error {
	e := &portsnare.Error{Op: "write", Subject: path, Err: err}
	if cause, ok := errors.AsType[*fs.PathError](err); ok {
		e.Err = cause.Err
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		e.Kind, e.Hint = portsnare.Conflict, "edit that file, or name another one with -c"
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Hint = portsnare.Denied, "run it as root, or name another file with -c"
	}
	return e
}
