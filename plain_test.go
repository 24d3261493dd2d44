package portsnare

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"order not armed: no such program": "order not armed: no such program",
		"Zürich 東京":                        "Zürich 東京",
		"red\x1b[31m\nline":                "red [31m line",
		"\x1b]0;owned\x07\x1b[2J":          " ]0;owned  [2J",
		"\u009b2J":                         " 2J", // CSI as one character
		"a\u202eb":                         "a b", // right-to-left override
		"\xff\xfe":                         "  ",
		strings.Repeat("x", MaxPlain):      strings.Repeat("x", MaxPlain),
		strings.Repeat("x", MaxPlain+1):    strings.Repeat("x", MaxPlain-3) + "...",
		strings.Repeat("ü", MaxPlain):      strings.Repeat("ü", (MaxPlain-3)/2) + "...",
	} {
		if got := Plain(text); got != want {
			t.Errorf("Plain(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add("\x1b[2J")
	f.Fuzz(func(t *testing.T, text string) {
		got := Plain(text)
		if len(got) > MaxPlain || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("Plain(%q) = %q", text, got)
		}
		if again := Plain(got); again != got {
			t.Errorf("Plain(%q) = %q", got, again)
		}
	})
}
