package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/portsnare/portsnare"
)

// Text writes lines for people. What hosts and clouds have said cannot leave its
// line or reach the terminal as anything but printable characters. After the first
// error nothing more is written; [Text.Err] returns it.
type Text struct {
	w   io.Writer
	err error
}

// NewText returns a Text that writes to w.
func NewText(w io.Writer) *Text { return &Text{w: w} }

// Line writes one line, whatever the arguments hold, of at most
// [portsnare.MaxPlain] bytes.
func (t *Text) Line(format string, args ...any) {
	io.WriteString(t, portsnare.Plain(fmt.Sprintf(format, args...))+"\n") //nolint:errcheck // Err returns it
}

// Write implements io.Writer, for a [Table] between the lines.
func (t *Text) Write(text []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.w.Write(text)
	t.err = err
	return n, err
}

// Err returns the first error of any line.
func (t *Text) Err() error { return t.err }

// output is one of a program's streams. It is the last gate before a terminal:
// only printable characters, tabs and ends of lines pass, so that no command can
// forget the gates of [Text] and [Table].
type output struct {
	w      io.Writer
	failed context.CancelCauseFunc // called with the first error; may be nil

	mu   sync.Mutex
	rest []byte // of a character whose end has not been written yet
	err  error
}

// Write implements io.Writer. After the first error nothing more is written.
func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	whole := append(o.rest, text...)
	end := len(whole) - unfinished(whole)
	o.rest = append([]byte(nil), whole[end:]...)
	if _, o.err = o.w.Write(printable(whole[:end])); o.err != nil {
		if o.failed != nil {
			o.failed(o.err)
		}
		return 0, o.err
	}
	return len(text), nil
}

// Err returns the first error of any write.
func (o *output) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// unfinished returns how many bytes at the end are the beginning of a character.
func unfinished(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if last := text[len(text)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return n
		}
	}
	return 0
}

// printable replaces by a space each character that a terminal might obey.
func printable(text []byte) []byte {
	return []byte(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r != utf8.RuneError && unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, string(text)))
}

// escape writes JSON with escapes for what encoding/json leaves as it is although
// terminals obey it: DEL, the controls above it, and marks that turn the direction
// of writing.
func escape(text []byte) []byte {
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return []byte(b.String())
}
