package portsnare

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sampleToken() Token {
	return Token{Host: "web-1", URLs: []string{"tls://203.0.113.5:4222"}, CA: []byte{1, 2, 3}, Seed: "SUA"}
}

func TestTokenRoundTrip(t *testing.T) {
	want := sampleToken()
	got, err := ParseToken("  " + want.String() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseTokenRefuses(t *testing.T) {
	good := sampleToken().String()
	const damaged = "the token is damaged: copy it again as a whole"
	for name, tt := range map[string]struct{ in, want string }{
		"other word": {"hello", "not a token: must start with portsnare2_"},
		"cut":        {good[:len(good)-5], damaged},
		"altered":    {good[:20] + "A" + good[21:], damaged},
		"empty":      {tokenPrefix1, damaged},
		"other kind": {tokenPrefix2 + strings.TrimPrefix(good, tokenPrefix1), damaged},
		"newer":      {Token{Host: "a", URLs: []string{"x"}, CA: []byte{1}, Seed: "S", Use: "x"}.String(), "token: this token is for a newer version of this program"},
		"no seed":    {Token{Host: "a", URLs: []string{"x"}, CA: []byte{1}}.String(), "token: address, certificate or credential is missing"},
	} {
		if _, err := ParseToken(tt.in); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(sampleToken().String())
	join := sampleToken()
	join.Use = ToJoin
	f.Add(join.String())
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		again, err := ParseToken(token.String())
		if err != nil || !cmp.Equal(token, again) {
			t.Fatalf("%q: %+v -> %+v, %v", text, token, again, err)
		}
	})
}

func TestParseName(t *testing.T) {
	for _, good := range []string{"a", "web-1", strings.Repeat("x", 63)} {
		if _, err := ParseName(good); err != nil {
			t.Errorf("ParseName(%q): %v", good, err)
		}
	}
	for _, bad := range []string{"", "-a", "a-", "a.b", "A", "a b", "*", ">", strings.Repeat("x", 64)} {
		if _, err := ParseName(bad); err == nil {
			t.Errorf("ParseName(%q) is taken", bad)
		}
	}
}

// One changed character never passes for another token, in either version.
func TestParseTokenChanged(t *testing.T) {
	for _, use := range []TokenUse{ForEver, ToJoin, Joined} {
		token := sampleToken()
		token.Use = use
		good := token.String()
		for i := range good {
			for _, c := range "Aa0_-z9 " {
				bad := good[:i] + string(c) + good[i+1:]
				if got, err := ParseToken(bad); bad != good && strings.TrimSpace(bad) == bad && err == nil {
					t.Fatalf("%q was taken as %+v", bad, got)
				}
			}
		}
	}
}
