package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
)

// Answer is what a command found out. For programs it is marshalled to JSON; for
// people it writes itself, through a [Text] and [Table]s.
type Answer interface {
	WriteText(w io.Writer) error
}

// JSONFlag gives a command the flag --json and returns where its value is.
func JSONFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("json", false, "answer with one JSON object")
}

// Print writes an answer to the command's standard output.
func Print(c *cobra.Command, asJSON bool, answer Answer) error {
	if asJSON {
		return WriteJSON(c.OutOrStdout(), answer)
	}
	return answer.WriteText(c.OutOrStdout())
}

// WriteJSON writes v as one indented JSON value and a newline. The same v gives
// the same text: fields come in the order of the type, map keys sorted. Characters
// that are not printable are escaped.
func WriteJSON(w io.Writer, v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escape(text.Bytes()))
	return err
}

// Table writes columns that line up, two spaces apart.
type Table struct {
	w *tabwriter.Writer
}

// NewTable begins a table with the names of its columns.
func NewTable(w io.Writer, columns ...string) *Table {
	t := &Table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.Row(columns...)
	return t
}

// Row adds a row, each cell made plain. An empty cell shows as "-", so that columns
// can be counted.
func (t *Table) Row(cells ...string) {
	line := make([]string, len(cells))
	for i, cell := range cells {
		if line[i] = portsnare.Plain(cell); strings.TrimSpace(line[i]) == "" {
			line[i] = "-"
		}
	}
	io.WriteString(t.w, strings.Join(line, "\t")+"\n") // Flush returns its error
}

// Flush writes the table. It returns the first error of any row.
func (t *Table) Flush() error { return t.w.Flush() }

// NewLogger returns a logger that writes a line for each record of at least
// the level, as key=value pairs or as a JSON object.
func NewLogger(w io.Writer, level slog.Leveler, asJSON bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
