package hostagent

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/portsnare/portsnare"
)

func TestToken(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := LoadToken(dir); portsnare.KindOf(err) != portsnare.NotFound || portsnare.HintOf(err) == "" {
		t.Errorf("token of a host that has not joined: %v (hint %q); want kind %q and a hint", err, portsnare.HintOf(err), portsnare.NotFound)
	}
	want := portsnare.Token{Host: "web-1", URLs: []string{"tls://192.0.2.1:4222"}, CA: []byte{1}, Seed: "seed"}
	if err := SaveToken(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := LoadToken(dir)
	if err != nil || got.String() != want.String() {
		t.Errorf("LoadToken = %v, %v; want %v", got, err, want)
	}
	path := filepath.Join(dir, tokenFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the token: %v, %v; want 0600", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte(want.String()[:40]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadToken(dir); portsnare.KindOf(err) != portsnare.Invalid || portsnare.HintOf(err) == "" {
		t.Errorf("a damaged token: %v; want kind %q and a hint", err, portsnare.Invalid)
	}
}

// crashDir tells a child process of these tests where to work.
const crashDir = "PORTSNARE_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := saveWithoutEnd(dir, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// saveWithoutEnd saves orders and bans of a growing number, and says each when
// it is saved.
func saveWithoutEnd(dir string, out io.Writer) error {
	for n := 1; ; n++ {
		if err := saveOrder(dir, portsnare.Order{Generation: portsnare.Generation(n)}); err != nil {
			return err
		}
		if err := saveBans(dir, make([]portsnare.Ban, n)); err != nil {
			return err
		}
		fmt.Fprintln(out, n)
	}
}

// TestKill kills a saving process at some instant and expects what it said, or
// what it was about to say, whole.
func TestKill(t *testing.T) {
	for round := range 5 {
		dir := t.TempDir()
		said := runAndKill(t, dir, 3+11*round)
		order, err := LoadOrder(dir)
		if got := int(order.Generation); err != nil || got != said && got != said+1 {
			t.Errorf("saved order is number %d, %v; want %d or the next", got, err, said)
		}
		bans, err := LoadBans(dir)
		if got := len(bans); err != nil || got != said && got != said+1 {
			t.Errorf("saved bans are number %d, %v; want %d or the next", got, err, said)
		}
	}
}

// runAndKill returns the last number that a child said before it was killed
// with signal 9, which is sent as soon as it has said so many.
func runAndKill(t *testing.T, dir string, lines int) int {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said := 0
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		if said, err = strconv.Atoi(scanner.Text()); err != nil {
			t.Fatal(err)
		}
		if said == lines {
			child.Process.Kill()
		}
	}
	if err := child.Wait(); child.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return said
}
