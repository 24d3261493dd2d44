package hub

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/portsnare/portsnare"
)

// flipsVariable says how many bytes of each file TestDamage changes, one at a
// time.
const flipsVariable = "PORTSNARE_FLIPS"

// TestDamage changes one byte of one file of the state directory and opens the
// hub. Either it refuses, with a hint, or it warns and has lost nothing.
func TestDamage(t *testing.T) {
	flips := 3
	if text := os.Getenv(flipsVariable); text != "" {
		var err error
		if flips, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	good := filepath.Join(t.TempDir(), "good")
	key := fill(t, good)
	rng := rand.New(rand.NewPCG(1, 2))
	var refused, warned int
	for _, name := range filesBelow(t, good) {
		for range flips {
			dir := filepath.Join(t.TempDir(), "state")
			if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			what, ok := flip(t, filepath.Join(dir, name), rng)
			if !ok {
				continue // it is empty
			}
			if openDamaged(t, dir, name+": "+what, key) {
				refused++
			} else {
				warned++
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d times refused, %d times warned", refused, warned)
}

// fill makes a state directory with something of everything in it, and returns
// the key of its host.
func fill(t *testing.T, dir string) string {
	t.Helper()
	h := open(t, dir)
	member(t, h, "web-1")
	one, _ := h.guests.get("web-1")
	if err := h.Send(t.Context(), testOrder("web-1", 1), testOrder("web-2", 1)); err != nil {
		t.Fatal(err)
	}
	for _, group := range []string{"group.db", "group.web"} {
		if _, err := h.Put(t.Context(), group, []byte(`{"generation":7}`), 0); err != nil {
			t.Fatal(err)
		}
	}
	report := []byte(`{"host":"web-1","armed":"a","listening":"22/tcp"}`)
	if err := errors.Join(h.nc.Publish(keptReport+"web-1", report), h.nc.Publish(keptBans+"web-1", []byte("[]")), h.nc.Flush()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.stores.evidence.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	return one.Key
}

func filesBelow(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// flip changes one byte by chance.
func flip(t *testing.T, path string, rng *rand.Rand) (what string, ok bool) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) == 0 {
		return "", false
	}
	at, by := rng.IntN(len(data)), byte(1+rng.IntN(255))
	data[at] ^= by
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("byte %d of %d changed by %#x", at, len(data), by), true
}

// openDamaged returns whether the hub refused to start.
func openDamaged(t *testing.T, dir, what, key string) (refused bool) {
	t.Helper()
	var log bytes.Buffer
	h, err := Open(t.Context(), Options{Dir: dir, Listen: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Logf("%s: refused: %v", what, err)
		if name := filepath.Base(strings.Split(what, ":")[0]); name != "authority.pem" && name != "operator.nk" {
			t.Errorf("%s: refused, although it has a copy", what)
		}
		if portsnare.HintOf(err) == "" {
			t.Errorf("%s: refused without a hint: %v", what, err)
		}
		return true
	}
	defer h.Close()
	if !strings.Contains(log.String(), "level=") {
		t.Errorf("%s: taken without a word", what)
	}
	if one, _ := h.guests.get("web-1"); one.Key != key {
		t.Errorf("%s: web-1 has the key %q; want %q\n%s", what, one.Key, key, &log)
	}
	for _, group := range []string{"group.db", "group.web"} {
		if value, _, err := h.Get(t.Context(), group); err != nil || string(value) != `{"generation":7}` {
			t.Errorf("%s: %s is %q, %v\n%s", what, group, value, err, &log)
		}
	}
	return false
}
