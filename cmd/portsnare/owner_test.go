package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/portsnare/portsnare"
)

func TestOwner(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one := write("one", "0123456789abcdef0123456789abcdef\n")
	other := write("other", "0123456789abcdef0123456789abcdee\n")
	early := write("early", "uninitialized\n")
	owner := func(configured, machineID, state string) string {
		t.Helper()
		got, err := ownerOf(configured, machineID, state)
		if err == nil {
			_, err = portsnare.ParseName(got)
		}
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := owner("tokyo", one, dir); got != "tokyo" {
		t.Errorf("configured: %q", got)
	}
	of := owner("", one, filepath.Join(dir, "a"))
	if got := owner("", one, filepath.Join(dir, "b")); got != of {
		t.Errorf("without its state the machine is %q, was %q", got, of)
	}
	if got := owner("", other, dir); got == of {
		t.Errorf("two machines are both %q", got)
	}
	for name, id := range map[string]string{"no machine id": filepath.Join(dir, "missing"), "none yet": early} {
		state := filepath.Join(dir, "state of "+name)
		kept := owner("", id, state)
		if got := owner("", id, state); got != kept {
			t.Errorf("%s: %q became %q", name, kept, got)
		}
	}
	write("owner", "no such name\n")
	if _, err := ownerOf("", early, dir); !errors.Is(err, portsnare.Invalid) || portsnare.HintOf(err) == "" {
		t.Errorf("a damaged file: %v, want invalid with a hint", err)
	}
}
