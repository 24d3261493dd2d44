package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/portsnare/portsnare"
)

// machineIDFile identifies an installation of the system
// (https://www.freedesktop.org/software/systemd/man/latest/machine-id.html,
// checked 2026-11-27: confidential, to be hashed with a key of the application).
const machineIDFile = "/etc/machine-id"

// ownerFile keeps, in the state directory, the owner of a machine without an id.
const ownerFile = "owner"

// ownerKey makes of a machine's id one that only Portsnare uses.
const ownerKey = "portsnare owner of cloud rules"

// ownerSize is the length of a derived owner in bytes; its text is twice as long.
const ownerSize = 4

// ownerOf returns the name by which this installation marks its cloud rules: the
// configured one, or else one that follows from the machine. It does not depend on
// the state directory where the machine has an id, so a controller that has lost
// its state still knows its own rules.
func ownerOf(configured, machineID, state string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	if id, err := os.ReadFile(machineID); err == nil && validMachineID(id) {
		mac := hmac.New(sha256.New, []byte(ownerKey))
		mac.Write(bytes.TrimSpace(id))
		return hex.EncodeToString(mac.Sum(nil)[:ownerSize]), nil
	}
	owner, err := keptOwner(filepath.Join(state, ownerFile))
	if err != nil {
		return "", &portsnare.Error{Kind: portsnare.KindOf(err), Op: "name the owner of this installation's cloud rules", Err: err,
			Hint: "set `owner` in the configuration to a name of your choice"}
	}
	return owner, nil
}

// validMachineID refuses what stands there before the first boot is complete.
func validMachineID(id []byte) bool {
	id = bytes.TrimSpace(id)
	_, err := hex.DecodeString(string(id))
	return err == nil && len(id) == 32
}

// keptOwner returns the owner in a file, which is made where it is missing.
func keptOwner(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		var word [ownerSize]byte
		rand.Read(word[:]) //nolint:errcheck // it never fails: crypto/rand since Go 1.24
		text = []byte(hex.EncodeToString(word[:]) + "\n")
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = renameio.WriteFile(path, text, 0o600)
		}
	}
	if err != nil {
		return "", err
	}
	return portsnare.ParseName(string(bytes.TrimSpace(text)))
}
