package hub

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/portsnare/portsnare"
)

// crashDir tells a child process of these tests where to work.
const crashDir = "PORTSNARE_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := writeWithoutEnd(dir, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(fullDir); dir != "" {
		if err := fillDisk(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// writeWithoutEnd puts a growing number into state and orders, and says each
// when the hub has said that it is kept.
func writeWithoutEnd(dir string, out io.Writer) error {
	ctx := context.Background()
	h, err := Open(ctx, Options{Dir: dir, Listen: "127.0.0.1:0", Advertise: []string{"127.0.0.1"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	_, revision, err := h.Get(ctx, "number")
	if err != nil && !errors.Is(err, portsnare.NotFound) {
		return err
	}
	for n := 1; ; n++ {
		if revision, err = h.Put(ctx, "number", []byte(strconv.Itoa(n)), revision); err != nil {
			return err
		}
		if err := h.Send(ctx, testOrder("web-1", portsnare.Generation(n))); err != nil {
			return err
		}
		if _, err := h.Enroll(ctx, "host-"+strconv.Itoa(n), false); err != nil {
			return err
		}
		fmt.Fprintln(out, n)
	}
}

// TestKill kills a writing hub at some instant, again and again, and expects
// every number that it said, or the one that it was about to say.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	for round := range 5 {
		said := runAndKill(t, dir, 5+7*round)
		h := open(t, dir)
		text, _, err := h.Get(t.Context(), "number")
		if err != nil {
			t.Fatal(err)
		}
		if got := string(text); got != strconv.Itoa(said) && got != strconv.Itoa(said+1) {
			t.Errorf("round %d: state holds %s after %d was said", round, got, said)
		}
		msg, err := h.stores.orders.GetLastMsgForSubject(t.Context(), portsnare.OrderSubject("web-1"))
		if err != nil {
			t.Fatal(err)
		}
		if msg.Sequence == 0 || len(msg.Data) == 0 {
			t.Errorf("round %d: the stored order is empty", round)
		}
		if got := len(h.Hosts()); got != said && got != said+1 {
			t.Errorf("round %d: %d hosts after %d were enrolled", round, got, said)
		}
		for _, host := range h.Hosts() { // the next child begins anew
			if err := h.Expel(t.Context(), host); err != nil {
				t.Fatal(err)
			}
		}
		h.Close()
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
