package hostagent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/portsnare/portsnare"
)

// The files below the state directory. Each is a secret.
const (
	tokenFile   = "token"
	orderFile   = "order.json"
	bansFile    = "bans.json"
	friendsFile = "friends.json"
)

// SaveToken stores the token with which the host joined, and makes the state
// directory where it is missing.
func SaveToken(dir string, token portsnare.Token) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fileError("store the token in", dir, err)
	}
	return fileError("store the token in", dir, writeFile(filepath.Join(dir, tokenFile), []byte(token.String()+"\n")))
}

// LoadToken returns the token with which the host joined. A host that has not
// is an error of kind NotFound.
func LoadToken(dir string) (portsnare.Token, error) {
	const op = "read the token in"
	text, err := os.ReadFile(filepath.Join(dir, tokenFile))
	if errors.Is(err, fs.ErrNotExist) {
		return portsnare.Token{}, &portsnare.Error{
			Kind: portsnare.NotFound, Op: op, Subject: dir, Err: errors.New("this host has not joined a controller"),
			Hint: "`portsnare enroll HOST` on the controller prints a token; then here: portsnare-agent join TOKEN",
		}
	}
	if err != nil {
		return portsnare.Token{}, fileError(op, dir, err)
	}
	token, err := portsnare.ParseToken(string(text))
	if err != nil {
		return token, &portsnare.Error{
			Kind: portsnare.Invalid, Op: op, Subject: dir, Err: err, Hint: "join again: portsnare-agent join TOKEN",
		}
	}
	return token, nil
}

// LoadOrder returns the order armed last. Where there is none the error is of
// kind NotFound.
func LoadOrder(dir string) (order portsnare.Order, err error) {
	err = load(dir, orderFile, &order)
	return order, err
}

// LoadBans returns the last ban of every source, in force or not. Where there
// is none the error is of kind NotFound.
func LoadBans(dir string) (bans []portsnare.Ban, err error) {
	err = load(dir, bansFile, &bans)
	return bans, err
}

// LoadFriends returns the friends that were known last. Where there are none the
// error is of kind NotFound.
func LoadFriends(dir string) (friends []portsnare.Friend, err error) {
	err = load(dir, friendsFile, &friends)
	return friends, err
}

func saveOrder(dir string, order portsnare.Order) error { return save(dir, orderFile, order) }

func saveBans(dir string, bans []portsnare.Ban) error { return save(dir, bansFile, bans) }

func saveFriends(dir string, friends []portsnare.Friend) error {
	return save(dir, friendsFile, friends)
}

func load(dir, name string, value any) error {
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		return fileError("read", path, err)
	}
	if err := json.Unmarshal(text, value); err != nil {
		return &portsnare.Error{Kind: portsnare.Invalid, Op: "read", Subject: path, Err: err}
	}
	return nil
}

func save(dir, name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	path := filepath.Join(dir, name)
	return fileError("save", path, writeFile(path, text))
}

// writeFile replaces a file in one step, readable by its owner alone, and
// returns when file and directory are on disk.
func writeFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := renameio.WriteFile(path, data, 0o600, renameio.WithTempDir(dir), renameio.WithStaticPermissions(0o600)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fileError gives an error of the file system its kind; nil stays nil.
func fileError(op, subject string, err error) error {
	if err == nil {
		return nil
	}
	e := &portsnare.Error{Op: op, Subject: subject, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Kind = portsnare.NotFound
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Hint = portsnare.Denied, "run it as root"
	}
	return e
}
