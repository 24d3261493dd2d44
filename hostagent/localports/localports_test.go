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
	if err := Write(path, want); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(path); err != nil || !got.Equal(want) {
		t.Errorf("read %s, %v; want %s", got, err, want)
	}
	if Writable(filepath.Join(path, "no")) {
		t.Error("a file that is not there is writable")
	}
}
