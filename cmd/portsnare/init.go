package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/cmd/internal/config"
)

func newInit(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a commented configuration to start from",
		Long: `Init writes a commented configuration. portsnare check names the example values
that are still to be replaced. It never overwrites a file.`,
	}
	stdout := c.Flags().Bool("stdout", false, "write to standard output instead of a file")
	c.RunE = func(c *cobra.Command, _ []string) error {
		example := config.NewExample(newOwner())
		if *stdout {
			_, err := c.OutOrStdout().Write(example)
			return err
		}
		if err := writeNew(a.path(), example); err != nil {
			return initError(a.path(), err)
		}
		text := cli.NewText(c.OutOrStdout())
		text.Line("%s: written; next, edit it and run: portsnare check -c %[1]s", a.path())
		return text.Err()
	}
	return c
}

// newOwner returns a name that no other installation has.
func newOwner() string {
	var word [ownerSize]byte
	rand.Read(word[:]) //nolint:errcheck // it never fails: crypto/rand since Go 1.24
	return hex.EncodeToString(word[:])
}

// writeNew writes a file that must not be there yet, and its directories. The file
// is complete or not there.
func writeNew(path string, text []byte) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(folder), renameio.WithStaticPermissions(0o644))
	if err != nil {
		return err
	}
	defer f.Cleanup() //nolint:errcheck // the temporary name, once it has the real one
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return renameNew(f.Name(), path)
}

// renameNew renames a file and replaces none.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // such as NFS, which can link
		return os.Link(from, to)
	}
	if err != nil {
		return &fs.PathError{Op: "rename", Path: to, Err: err}
	}
	return nil
}

func initError(path string, err error) error {
	e := &portsnare.Error{Op: "write", Subject: path, Err: err}
	if cause, ok := errors.AsType[*fs.PathError](err); ok {
		e.Err = cause.Err
	} else if cause, ok := errors.AsType[*os.LinkError](err); ok {
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
