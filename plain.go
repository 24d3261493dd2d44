package portsnare

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxPlain is the length, in bytes, of the longest text that [Plain] returns.
const MaxPlain = 500

// Plain makes text that came from elsewhere fit for a terminal, a label, a page
// or a message: one line of printable characters, at most [MaxPlain] bytes. It
// is the only gate that such text passes. Each character that is not printable
// becomes a space, so that none of a terminal's control sequences survives; a
// longer text ends in "...".
func Plain(s string) string {
	const ellipsis = "..."
	cut := len(s) > MaxPlain
	if cut {
		end := MaxPlain - len(ellipsis)
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end]
	}
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if cut {
		s += ellipsis
	}
	return s
}
