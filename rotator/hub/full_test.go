package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
)

// fullDir tells a child process of these tests to mount a small disk there.
const fullDir = "PORTSNARE_TEST_FULL_DIR"

// TestDiskFull: a full disk is called that while it is one, and the controller
// recovers by itself when there is room again, connections and all. It runs in a
// process with a mount namespace of its own.
func TestDiskFull(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), fullDir+"="+t.TempDir())
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if said, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
}

// fillDisk is that process.
func fillDisk(dir string) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	var log bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	state := filepath.Join(dir, "state")
	h, err := Open(ctx, Options{Dir: state, Listen: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		return err
	}
	defer h.Close()
	if _, err := h.Put(ctx, "group.web", []byte("before"), 0); err != nil {
		return err
	}
	if err := fillUp(filepath.Join(dir, "ballast")); err != nil {
		return err
	}
	if err := wantDiskFull(ctx, h); err != nil {
		return err
	}
	value, _, err := h.Get(ctx, "group.web")
	if err == nil && string(value) != "before" {
		return fmt.Errorf("while the disk is full the state is %q", value)
	}
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		return err
	}
	for { // until it has noticed
		var revision uint64
		if value, revision, err = h.Get(ctx, "group.web"); err == nil {
			if _, err = h.Put(ctx, "group.web", []byte("after"), revision); err == nil {
				break
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("there is room, and still: %w\n%s", err, &log)
		case <-time.After(50 * time.Millisecond):
		}
	}
	if string(value) != "before" {
		return fmt.Errorf("the state is %q after the disk was full", value)
	}
	if err := h.Send(ctx, testOrder("web-1", 1)); err != nil {
		return fmt.Errorf("%w\n%s", err, &log)
	}
	if err := wantHistory(ctx, h, filepath.Join(dir, "ballast")); err != nil {
		return fmt.Errorf("%w\n%s", err, &log)
	}
	if problems := h.Problems(); len(problems) != 0 {
		return fmt.Errorf("all is well, and it says %v", problems)
	}
	if n := strings.Count(log.String(), "cannot write to the state directory"); n != 2 {
		return fmt.Errorf("it is said %d times:\n%s", n, &log)
	}
	return nil
}

// wantHistory fills the disk again and stores only what nobody waits for: that, too,
// is stored again once there is room.
func wantHistory(ctx context.Context, h *Hub, ballast string) error {
	if err := fillUp(ballast); err != nil {
		return err
	}
	entry := []byte(`"` + strings.Repeat("x", 1000) + `"`)
	for h.port.Halted() == nil {
		h.remember(keptHits+"web-1", [][]byte{entry})
		if err := h.nc.FlushWithContext(ctx); err != nil {
			return err
		}
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	for {
		h.remember(keptHits+"web-2", [][]byte{entry})
		once, cancel := context.WithTimeout(ctx, time.Second) // a question to a store that is being reopened is lost
		_, err := h.stores.evidence.GetLastMsgForSubject(once, keptHits+"web-2")
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errors.New("the history is not stored any more")
		}
	}
}

// fillUp writes until there is no room for a single byte.
func fillUp(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4096, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
	}
	return nil
}

// wantDiskFull writes until that fails, which has to be called by its name.
func wantDiskFull(ctx context.Context, h *Hub) error {
	for n := 1; ; n++ {
		err := h.Send(ctx, testOrder("web-1", portsnare.Generation(n)))
		if err == nil && n < 1000 {
			continue
		}
		if !strings.Contains(fmt.Sprint(err), "disk full") || !errors.Is(err, portsnare.Transient) || !strings.Contains(portsnare.HintOf(err), "df -h") {
			return fmt.Errorf("a full disk after %d orders: %w (hint %q)", n, err, portsnare.HintOf(err))
		}
		break
	}
	if problems := h.Problems(); len(problems) != 1 || !strings.Contains(problems[0].Error(), "disk full") {
		return fmt.Errorf("problems: %v; want the full disk", problems)
	}
	return nil
}
