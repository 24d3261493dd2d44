package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/hub/embedded"
)

// vault is a bucket whose values carry a checksum, with a copy of them all in a
// file: one damaged byte in either costs nothing.
//
// A value reaches the bucket first and the copy second; it leaves the copy first
// and the bucket second. So what the copy has and the bucket has not was lost by
// the bucket, wherever the controller was killed.
type vault struct {
	kv   jetstream.KeyValue
	path string
	log  *slog.Logger

	change sync.Mutex // held from the bucket's taking of a value to the copy's

	mu     sync.Mutex
	values map[string][]byte // of the copy
	failed bool              // the copy could not be written, which was logged
}

func openVault(ctx context.Context, js jetstream.JetStream, bucket, path string, log *slog.Logger) (*vault, error) {
	v := &vault{path: path, log: log}
	var err error
	if v.kv, err = openBucket(ctx, js, bucket); err != nil {
		return nil, err
	}
	stored, damaged, readErr := v.readBucket(ctx, js, bucket)
	if readErr != nil && !errors.Is(readErr, errShort) {
		return nil, readErr
	}
	copied, err := v.readCopy()
	if err != nil {
		return nil, err
	}
	lost := lacking(stored, copied)
	v.values = stored
	switch {
	case readErr == nil && len(lost) == 0 && len(damaged) == 0:
		return v, v.writeCopy()
	case copied == nil && readErr != nil:
		return nil, readErr
	}
	for _, key := range lost {
		v.values[key] = copied[key]
	}
	for key := range damaged {
		if _, ok := v.values[key]; !ok {
			return nil, errDamaged(key)
		}
	}
	log.Warn(msgRestored, keyFile, path, keyValues, portsnare.Plain(strings.Join(lost, ", ")))
	return v, v.rebuild(ctx, js, bucket)
}

func openBucket(ctx context.Context, js jetstream.JetStream, name string) (jetstream.KeyValue, error) {
	kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, History: 1, Storage: jetstream.FileStorage})
	if err != nil {
		return nil, fmt.Errorf("open the bucket %s: %w", name, err)
	}
	return kv, nil
}

// lacking returns the keys that are in the copy alone, sorted.
func lacking(stored, copied map[string][]byte) (lost []string) {
	for key := range copied {
		if _, ok := stored[key]; !ok {
			lost = append(lost, key)
		}
	}
	slices.Sort(lost)
	return lost
}

// rebuild makes the bucket anew: one with a damaged message in it does not take
// every value. A kill on the way finds all in the copy.
func (v *vault) rebuild(ctx context.Context, js jetstream.JetStream, bucket string) (err error) {
	if err := v.writeCopy(); err != nil {
		return err
	}
	if err := js.DeleteKeyValue(ctx, bucket); err != nil {
		return err
	}
	if v.kv, err = openBucket(ctx, js, bucket); err != nil {
		return err
	}
	for key, value := range v.values {
		if _, err := v.kv.Put(ctx, key, envelope(value)); err != nil {
			return err
		}
	}
	return nil
}

// readBucket returns the values that are whole, and the keys of those that are not.
func (v *vault) readBucket(ctx context.Context, js jetstream.JetStream, bucket string) (map[string][]byte, map[string]bool, error) {
	stored, damaged := make(map[string][]byte), make(map[string]bool)
	stream, err := js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		return nil, nil, err
	}
	err = read(ctx, stream, func(msg jetstream.Msg) {
		key := strings.TrimPrefix(msg.Subject(), "$KV."+bucket+".")
		if msg.Headers().Get("KV-Operation") != "" { // deleted
			delete(stored, key)
			return
		}
		if value, ok := openEnvelope(msg.Data()); ok {
			stored[key] = bytes.Clone(value)
		} else {
			damaged[key] = true
		}
	})
	return stored, damaged, err
}

// readCopy returns what the copy holds: nothing where there is none yet, or where
// it is damaged.
func (v *vault) readCopy() (map[string][]byte, error) {
	var copied map[string][]byte
	text, err := embedded.ReadSealed(v.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, portsnare.Invalid) || err == nil && json.Unmarshal(text, &copied) != nil:
		v.log.Warn(msgCopyBad, keyFile, v.path)
		return nil, nil
	}
	return copied, err
}

func errDamaged(key string) error {
	return &portsnare.Error{
		Kind: portsnare.Invalid, Op: "read", Subject: portsnare.Plain(key), Err: errors.New("the stored value is damaged, and so is its copy"),
		Hint: "restore a backup of the state directory",
	}
}

// all returns the values by key.
func (v *vault) all() map[string][]byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.values)
}

func (v *vault) get(ctx context.Context, key string) ([]byte, uint64, error) {
	entry, err := v.kv.Get(ctx, key)
	if err != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		if _, known := v.values[key]; known && errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil, 0, errLost(key)
		}
		return nil, 0, err
	}
	value, ok := openEnvelope(entry.Value())
	if !ok {
		return nil, 0, errLost(key)
	}
	return value, entry.Revision(), nil
}

// errLost: the copy is put back at the next start.
func errLost(key string) error {
	return &portsnare.Error{
		Kind: portsnare.Invalid, Op: "read", Subject: portsnare.Plain(key), Err: errors.New("the stored value was damaged while the controller ran"),
		Hint: "restart the controller: it has a copy",
	}
}

// update replaces the value of that revision, 0 for none.
func (v *vault) update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	v.change.Lock()
	defer v.change.Unlock()
	revision, err := v.kv.Update(ctx, key, envelope(value), revision)
	if err == nil {
		v.copy(key, value)
	}
	return revision, err
}

func (v *vault) put(ctx context.Context, key string, value []byte) error {
	v.change.Lock()
	defer v.change.Unlock()
	_, err := v.kv.Put(ctx, key, envelope(value))
	if err == nil {
		v.copy(key, value)
	}
	return err
}

func (v *vault) remove(ctx context.Context, key string) error {
	v.change.Lock()
	defer v.change.Unlock()
	v.copy(key, nil)
	return v.kv.Purge(ctx, key)
}

// copy brings the copy up to date; nil removes. That it cannot be written is
// no reason to refuse what the bucket has taken.
func (v *vault) copy(key string, value []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if value == nil {
		delete(v.values, key)
	} else {
		v.values[key] = bytes.Clone(value)
	}
	err := v.writeCopy()
	if err != nil && !v.failed {
		v.log.Error(msgCopyFailed, keyFile, v.path, keyError, err)
	}
	v.failed = err != nil
}

func (v *vault) writeCopy() error {
	text, err := json.Marshal(v.values)
	if err != nil {
		return err
	}
	return embedded.WriteSealed(v.path, text)
}

const envelopeMark = "crc32 "

// envelope puts a checksum before value.
func envelope(value []byte) []byte {
	return fmt.Appendf(nil, "%s%08x\n%s", envelopeMark, crc32.ChecksumIEEE(value), value)
}

// openEnvelope returns what is in it, and whether it is whole. Values of the first
// version are JSON objects without an envelope.
func openEnvelope(text []byte) ([]byte, bool) {
	if len(text) > 0 && text[0] == '{' {
		return text, json.Valid(text)
	}
	head := len(envelopeMark) + len("00000000\n")
	if len(text) < head {
		return nil, false
	}
	value := text[head:]
	return value, bytes.Equal(envelope(value), text)
}
