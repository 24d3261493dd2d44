package localports

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/portsnare/portsnare"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"\n": "\n", "5,7-9\n": "5,7-9\n", "0\n": "\n", "0-3,9\n": "1-3,9\n", "65535\n": "65535\n",
	} {
		ports, err := Parse(text)
		if got := Format(ports); err != nil || got != want {
			t.Errorf("%q read as %q, %v; want %q", text, got, err, want)
		}
	}
	if _, err := Parse("5-\n"); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("a damaged list: %v, want invalid", err)
	}
}

func TestReadWhatWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want := portsnare.NewPortSet(portsnare.PortRange{Protocol: portsnare.TCP, From: 1, To: 9}, portsnare.PortRange{Protocol: portsnare.TCP, From: 65535, To: 65535})
	if err := Replace(path, want); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(path); err != nil || !got.Equal(want) {
		t.Errorf("read %s, %v; want %s", got, err, want)
	}
}

// TestReplaceReadsBack: a list is not called written unless it is.
func TestReplaceReadsBack(t *testing.T) {
	want := portsnare.NewPortSet(portsnare.PortRange{Protocol: portsnare.TCP, From: 1, To: 9})
	for path, kind := range map[string]portsnare.Kind{
		"/dev/null":                        portsnare.Conflict, // takes everything and holds nothing
		filepath.Join(t.TempDir(), "none"): portsnare.Denied,
	} {
		if err := Replace(path, want); !errors.Is(err, kind) || portsnare.HintOf(err) == "" {
			t.Errorf("Replace(%s) = %v, want %s with a hint", path, err, kind)
		}
	}
}

func TestReadNoList(t *testing.T) {
	if got, err := Read(filepath.Join(t.TempDir(), "none")); err != nil || !got.Empty() {
		t.Errorf("Read of no list = %s, %v; want none", got, err)
	}
}
