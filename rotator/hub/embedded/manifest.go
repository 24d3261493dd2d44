package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/portsnare/portsnare"
)

// A manifest holds the checksum of every file of the store as it was at a regular
// end. The store's own checks let many a changed byte pass without a word.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// writeManifest is called when nobody writes to the store any more.
func writeManifest(dir string) error {
	sums, err := storeSums(dir)
	if err != nil {
		return err
	}
	text, err := json.Marshal(sums)
	if err != nil {
		return err
	}
	return WriteSealed(filepath.Join(dir, manifestFile), text)
}

// checkManifest warns of every file that has changed, and removes the manifest:
// after a kill there is none, and nothing to compare.
func checkManifest(dir string, log *slog.Logger) error {
	removeProbes(dir)
	path := filepath.Join(dir, manifestFile)
	text, err := ReadSealed(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var want map[string]string
	switch {
	case errors.Is(err, portsnare.Invalid) || err == nil && json.Unmarshal(text, &want) != nil:
		log.Warn(msgRebuilt, keyFile, manifestFile, keyFrom, "the store")
	case err != nil:
		return err
	default:
		got, err := storeSums(dir)
		if err != nil {
			return err
		}
		if changed := differing(want, got); len(changed) > 0 {
			log.Warn(msgChanged, keyFiles, portsnare.Plain(strings.Join(changed, ", ")))
			if err := setAside(dir, changed, log); err != nil {
				return err
			}
		}
	}
	return os.Remove(path)
}

// copies are the files from which the hub rebuilds a stream, by the stream's name.
var copies = map[string]string{"KV_PORTSNARE_HOSTS": "hosts.json", "KV_PORTSNARE_STATE": "state.json"}

// setAside takes the streams of changed files away before the server reads them:
// a single changed byte in a block can make it allocate all memory (nats-server
// 2.15). What can be rebuilt from a copy is, and orders, reports and history the
// controller can do without. A stream whose only copy is damaged too stays.
func setAside(dir string, changed []string, log *slog.Logger) error {
	done := make(map[string]bool)
	for _, name := range changed {
		before, rest, ok := strings.Cut(filepath.ToSlash(name), "/streams/")
		stream, _, _ := strings.Cut(rest, "/")
		if !ok || stream == "" || done[stream] {
			continue
		}
		done[stream] = true
		if file, needed := copies[stream]; needed {
			if _, err := ReadSealed(filepath.Join(dir, file)); err != nil {
				continue
			}
		}
		if err := os.RemoveAll(filepath.Join(dir, damagedDir, stream)); err != nil { // of an earlier time
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, damagedDir), 0o700); err != nil {
			return err
		}
		to := filepath.Join(damagedDir, stream)
		if err := os.Rename(filepath.Join(dir, before, "streams", stream), filepath.Join(dir, to)); err != nil {
			return err
		}
		log.Warn(msgSetAside, keyText, portsnare.Plain(stream), keyFile, to)
	}
	return nil
}

func differing(want, got map[string]string) []string {
	var names []string
	for name, sum := range want {
		if got[name] != sum {
			names = append(names, name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func storeSums(dir string) (map[string]string, error) {
	sums := make(map[string]string)
	root := filepath.Join(dir, storeDir)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == root {
			return nil // no store yet
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		sums[name], err = fileSum(path)
		return err
	})
	return sums, err
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	_, err = io.Copy(sum, f)
	return fmt.Sprintf("%08x", sum.Sum32()), err
}
