// Package reference writes docs/reference.md: what the commands take, what the
// configuration takes. Its parts come from the values that the programs
// themselves use, so that they cannot differ.
//
// The file is written by hand, save for sections that begin and end with a
// comment, each kept by a test that calls [Sync].
package reference

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/portsnare/portsnare/cmd/internal/config"
)

// Commands documents command trees: each command that is not hidden, with its
// use, its text and its flags.
func Commands(roots ...*cobra.Command) string {
	var b strings.Builder
	for _, root := range roots {
		command(&b, root)
	}
	return b.String()
}

func command(b *strings.Builder, c *cobra.Command) {
	level := "##"
	if c.HasParent() {
		level = "###"
	}
	fmt.Fprintf(b, "%s %s\n\n%s.\n\n", level, c.CommandPath(), c.Short)
	if c.Runnable() {
		fmt.Fprintf(b, "    %s\n\n", c.UseLine())
	}
	if c.Long != "" {
		fmt.Fprintf(b, "%s\n\n", c.Long)
	}
	flags := NewTable("Flag", "Default", "Meaning")
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		flags.Row(flagName(f, value), defaultOf(f), usage)
	})
	b.WriteString(flags.String())
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			command(b, sub)
		}
	}
}

// flagName returns such as "-c, --config FILE".
func flagName(f *pflag.Flag, value string) string {
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	return code(strings.TrimSpace(name + " " + value))
}

func defaultOf(f *pflag.Flag) string {
	if f.DefValue == "false" || f.DefValue == "" {
		return ""
	}
	return code(f.DefValue)
}

// Configuration documents the keys of the configuration.
func Configuration(keys []config.Key) string {
	table := NewTable("Key", "Takes", "Default", "Meaning")
	for _, k := range keys {
		byDefault := code(k.Default)
		if k.Required {
			byDefault = "required"
		}
		table.Row(code(k.Name), k.Want, byDefault, k.Doc)
	}
	return table.String()
}

// Table is a Markdown table.
type Table struct {
	header string
	rows   strings.Builder
}

// NewTable begins a table.
func NewTable(columns ...string) *Table {
	return &Table{header: line(columns) + strings.Repeat("|---", len(columns)) + "|\n"}
}

// Row adds a row.
func (t *Table) Row(cells ...string) { t.rows.WriteString(line(cells)) }

// String returns the table and an empty line, or nothing if it has no row.
func (t *Table) String() string {
	if t.rows.Len() == 0 {
		return ""
	}
	return t.header + t.rows.String() + "\n"
}

func line(cells []string) string {
	var b strings.Builder
	for _, cell := range cells {
		fmt.Fprintf(&b, "| %s ", cmp.Or(strings.ReplaceAll(cell, "|", `\|`), " "))
	}
	return b.String() + "|\n"
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// Sync compares a section of the file with what it should be, or writes it if
// update is set. Without update, a difference is an error that says what to do.
// The section, headed by name, must be in the file already.
func Sync(path, name, want string, update bool) error {
	// Tests of several packages keep their sections at the same time. The folder is
	// locked, as the file is replaced.
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", filepath.Dir(path), err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, have, after, err := cut(string(text), name)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	want = "\n" + strings.TrimSpace(want) + "\n\n"
	switch {
	case have == want:
		return nil
	case !update:
		return fmt.Errorf("%s: the section %q is out of date: go test ./cmd/... -run Reference -update", path, name)
	}
	return renameio.WriteFile(path, []byte(before+want+after), 0o644)
}

// cut parts a text in front of and behind what a section holds.
func cut(text, name string) (before, have, after string, err error) {
	begin, end := "<!-- begin "+name+", generated -->\n", "<!-- end "+name+" -->\n"
	before, rest, ok := strings.Cut(text, begin)
	have, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", "", "", fmt.Errorf("no section %q: want lines %q and %q", name, begin, end)
	}
	return before + begin, have, end + after, nil
}
