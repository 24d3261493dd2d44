package hostagent

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
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
	os.Exit(netlab.Main(m))
}

// saveWithoutEnd saves orders and bans of a growing number, and says each when
// it is saved.
func saveWithoutEnd(dir string, out io.Writer) error {
	disk := store{dir: dir}
	for n := 1; ; n++ {
		if err := disk.order(SavedOrder{Order: portsnare.Order{Generation: portsnare.Generation(n)}}); err != nil {
			return err
		}
		if _, err := disk.save(bansFile, savedBans{Bans: make([]portsnare.Ban, n)}); err != nil {
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

// TestFlippedBytes: one flipped byte in any file of the state directory is refused,
// or a line of the log says what was made up for and from what. Never is a wrong
// order armed.
func TestFlippedBytes(t *testing.T) {
	var whole map[string][]byte
	var serial string
	inWorld(t, func(t *testing.T, w *world) {
		if err := SaveToken(w.dir, portsnare.Token{Host: "web-1", URLs: []string{"tls://192.0.2.1:4222"}, CA: []byte{1}, Seed: "seed"}); err != nil {
			t.Fatal(err)
		}
		w.start()
		order := newOrder(1)
		w.send(order)
		serial = order.Digest()
		w.see("198.51.100.7", "1001/tcp", true)
		w.kernel.friends[friendAt(1, "22/tcp")] = time.Now().Add(portsnare.FriendTime)
		w.wait(time.Minute)
		w.stop()
		w.stop = nil
		whole = readAll(t, w.dir)
	})
	for _, name := range []string{tokenFile, orderFile, orderCopy, bansFile, friendsFile, momentFile} {
		if len(whole[name]) == 0 {
			t.Fatalf("%s was not saved", name)
		}
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			for range 200 {
				text := bytes.Clone(whole[name])
				at, bit := random.IntN(len(text)), byte(1+random.IntN(255))
				text[at] ^= bit
				wantNoticed(t, whole, name, text, serial)
			}
			wantNoticed(t, whole, name, whole[name][:len(whole[name])/2], serial)
			wantNoticed(t, whole, name, nil, serial)
		})
	}
}

// wantNoticed starts an agent where one file is damaged.
func wantNoticed(t *testing.T, whole map[string][]byte, name string, text []byte, serial string) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *world) {
		for file, content := range whole {
			if file == name {
				content = text
			}
			if err := os.WriteFile(filepath.Join(w.dir, file), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if name == tokenFile {
			if _, err := LoadToken(w.dir); !errors.Is(err, portsnare.Invalid) || portsnare.HintOf(err) == "" {
				t.Errorf("a damaged token (%q): %v; want it refused with a hint", text, err)
			}
			return
		}
		w.start()
		if !strings.Contains(w.log.String(), errDamaged.Error()) || !strings.Contains(w.log.String(), name) {
			t.Errorf("%q in %s: nothing was logged of it:\n%s", text, name, w.log)
		}
		if got := w.link.last(t).Armed; got != serial {
			t.Errorf("%q in %s: armed %q; want %q", text, name, got, serial)
		}
	})
}

func readAll(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if files[entry.Name()], err = os.ReadFile(filepath.Join(dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestBothOrdersDamaged: nothing is armed then, and the report says so until the
// controller has sent an order.
func TestBothOrdersDamaged(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		w.stop()
		for _, name := range []string{orderFile, orderCopy} {
			text, err := os.ReadFile(filepath.Join(w.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			text[len(text)-10] ^= 1
			if err := os.WriteFile(filepath.Join(w.dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.kernel = w.newKernel()
		w.start()
		w.wait(time.Minute)
		if got := w.link.last(t); w.kernel.sets != 0 || got.Armed != "" || !strings.Contains(got.Problem, msgOrderUnread) {
			t.Errorf("%d orders armed, report %+v; want none, and a problem", w.kernel.sets, got)
		}
		w.send(newOrder(2))
		if got := w.link.last(t); got.Generation != 2 || got.Problem != "" {
			t.Errorf("report %+v; want generation 2 and no problem", got)
		}
	})
}

// TestCopyIsOlder: killed between the two files of an order, the agent arms the
// newer one; where that is damaged as well it arms the other, which is the last
// one that it vouched for.
func TestCopyIsOlder(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		older := readAll(t, w.dir)[orderCopy]
		w.send(newOrder(2))
		w.stop()
		if err := os.WriteFile(filepath.Join(w.dir, orderCopy), older, 0o600); err != nil {
			t.Fatal(err)
		}
		w.start()
		if got := w.link.last(t).Generation; got != 2 {
			t.Errorf("armed: generation %s; want 2", got)
		}
		if got := readAll(t, w.dir)[orderCopy]; bytes.Equal(got, older) {
			t.Error("the copy was not made good")
		}
	})
}

// TestSealsAreNotExchanged: a file under another's name is refused.
func TestSealsAreNotExchanged(t *testing.T) {
	dir := t.TempDir()
	disk := store{dir: dir}
	if _, err := disk.save(bansFile, savedBans{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, bansFile), filepath.Join(dir, friendsFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadFriends(dir); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("LoadFriends = %v; want kind %q", err, portsnare.Invalid)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); !errors.Is(err, portsnare.Conflict) || portsnare.HintOf(err) == "" {
		t.Errorf("second Lock = %v; want a conflict with a hint", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); err != nil {
		t.Errorf("Lock after unlock = %v", err)
	}
	if _, err := Lock(filepath.Join(dir, "gone")); !errors.Is(err, portsnare.NotFound) {
		t.Errorf("Lock of no directory = %v; want kind %q", err, portsnare.NotFound)
	}
}

// TestFullDisk: the text of a failure is the same each time, and says what to do.
func TestFullDisk(t *testing.T) {
	for _, test := range []struct {
		errno syscall.Errno
		kind  portsnare.Kind
	}{{syscall.ENOSPC, portsnare.LimitExceeded}, {syscall.EDQUOT, portsnare.LimitExceeded}, {syscall.EROFS, portsnare.Unavailable}, {syscall.EACCES, portsnare.Denied}} {
		err := fileError("save", "/var/lib/x/order.json", &os.PathError{Op: "open", Path: "/var/lib/x/.order.json123456", Err: test.errno})
		if portsnare.KindOf(err) != test.kind || portsnare.HintOf(err) == "" || strings.Contains(err.Error(), "123456") {
			t.Errorf("%v: %v, kind %q, hint %q", test.errno, err, portsnare.KindOf(err), portsnare.HintOf(err))
		}
	}
}
