package cli

import (
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Build says what a program was built from. It is an [Answer].
type Build struct {
	Program  string `json:"program"`
	Version  string `json:"version"`            // such as "v0.1.0"; "devel" where nobody knows
	Revision string `json:"revision,omitempty"` // of the repository
	Time     string `json:"time,omitempty"`     // of that revision, RFC 3339
	Modified bool   `json:"modified"`           // there was more than that revision
	Go       string `json:"go"`                 // of the compiler, such as "go1.26.0"
}

// Version returns the version of the running program.
func Version() string { return readBuild("").Version }

func readBuild(program string) Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return buildOf(program, info)
}

func buildOf(program string, info *debug.BuildInfo) Build {
	b := Build{Program: program, Version: strings.Trim(info.Main.Version, "()"), Go: info.GoVersion}
	if b.Version == "" {
		b.Version = "devel"
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// WriteText implements [Answer].
func (b Build) WriteText(w io.Writer) error {
	parts := []string{b.Go}
	if b.Revision != "" {
		parts = append(parts, b.Revision)
	}
	if b.Modified {
		parts = append(parts, "modified")
	}
	text := NewText(w)
	text.Line("%s %s (%s)", b.Program, b.Version, strings.Join(parts, ", "))
	return text.Err()
}

// NewVersion is the command `version`.
func NewVersion() *cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
	}
	asJSON := JSONFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return Print(c, *asJSON, readBuild(c.Root().Name()))
	}
	return c
}
