package providertest

import (
	"testing"

	"github.com/portsnare/portsnare"
)

// Dual returns openings of ranges such as "8000-8009/tcp" to everyone.
func Dual(t testing.TB, ranges ...string) []portsnare.Opening {
	t.Helper()
	return portsnare.OpeningsOf(Ranges(t, ranges...), portsnare.AnySource()...)
}

// V4 returns openings of ranges to everyone who has an IPv4 address.
func V4(t testing.TB, ranges ...string) []portsnare.Opening {
	t.Helper()
	return portsnare.OpeningsOf(Ranges(t, ranges...), portsnare.AnySource()[0])
}

// Ranges reads ranges such as "8000-8009/tcp". Those that touch stay apart.
func Ranges(t testing.TB, ranges ...string) []portsnare.PortRange {
	t.Helper()
	var parsed []portsnare.PortRange
	for _, text := range ranges {
		r, err := portsnare.ParsePortRange(text)
		NoError(t, err)
		parsed = append(parsed, r)
	}
	return parsed
}

// WantError demands an error of a kind with this text and hint; an empty text or
// hint is not looked at.
func WantError(t testing.TB, err error, kind portsnare.Kind, text, hint string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", kind)
	}
	if got := portsnare.KindOf(err); got != kind {
		t.Errorf("kind = %q, want %q: %v", got, kind, err)
	}
	if got := err.Error(); text != "" && got != text {
		t.Errorf("error = %q\n want   %q", got, text)
	}
	if got := portsnare.HintOf(err); hint != "" && got != hint {
		t.Errorf("hint = %q\n want  %q", got, hint)
	}
}

// NoError ends the test at an error.
func NoError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
