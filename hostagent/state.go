package hostagent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/portsnare/portsnare"
)

// The files below the state directory. Each is a secret.
const (
	tokenFile   = "token"
	orderFile   = "order.json"
	orderCopy   = "order.copy.json" // read when the order is damaged
	bansFile    = "bans.json"
	friendsFile = "friends.json"
	momentFile  = "moment.json"
)

// SaveToken stores the token with which the host joined, and makes the state
// directory where it is missing.
func SaveToken(dir string, token portsnare.Token) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fileError("store the token in", dir, err)
	}
	return fileError("store the token in", dir, writeFile(filepath.Join(dir, tokenFile), wrap(tokenFile, []byte(token.String()))))
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
	word := text // of the first version, unless it has a seal
	if body, _, err := unwrap(tokenFile, text); err == nil {
		word = body
	}
	token, err := portsnare.ParseToken(string(word))
	if err != nil {
		return token, &portsnare.Error{
			Kind: portsnare.Invalid, Op: op, Subject: dir, Err: err,
			Hint: "the token is used up by now: `portsnare enroll --renew HOST` on the controller prints another; then here: portsnare-agent join TOKEN",
		}
	}
	return token, nil
}

// SavedOrder is an order on disk.
type SavedOrder struct {
	At    time.Time       `json:"at"` // when it was saved, by the wall clock
	Order portsnare.Order `json:"order"`
	// Former are the traps of the generation before, while both are armed.
	Former formerTraps `json:"former"`
}

// formerTraps are the traps of the generation before the present one.
type formerTraps struct {
	Generation portsnare.Generation `json:"generation"`
	Traps      portsnare.Traps      `json:"traps"`
	// Armed: the present order arms them too, so they are still that generation's.
	Armed bool `json:"armed"`
}

// LoadOrder returns the order that was saved last. Where there is none the error is
// of kind NotFound, where both of its files are damaged of kind Invalid.
func LoadOrder(dir string) (portsnare.Order, error) {
	saved, err := LoadSavedOrder(dir)
	return saved.Order, err
}

// LoadSavedOrder returns the same, with what was saved beside it.
func LoadSavedOrder(dir string) (SavedOrder, error) {
	saved, err := readOrder(dir)
	return saved.SavedOrder, err
}

// readState is an order as it was found on disk.
type readState struct {
	SavedOrder
	whole  bool  // both files hold it
	damage error // of one of the files, where the other was good
}

// readOrder reads both files. The first counts where it is good: the second may
// be older, if the agent was killed between the two.
func readOrder(dir string) (readState, error) {
	first, plain, err := readOrderFile(dir, orderFile)
	second, _, copyErr := readOrderFile(dir, orderCopy)
	switch {
	case err == nil && (plain || errors.Is(copyErr, portsnare.NotFound)):
		return readState{SavedOrder: first}, nil
	case err == nil:
		whole := copyErr == nil && serialOf(first.Order) == serialOf(second.Order)
		return readState{SavedOrder: first, whole: whole, damage: copyErr}, nil
	case copyErr == nil:
		return readState{SavedOrder: second, damage: err}, nil
	}
	return readState{}, err
}

func readOrderFile(dir, name string) (saved SavedOrder, plain bool, err error) {
	plain, err = load(dir, name, &saved, &saved.Order)
	return saved, plain, err
}

// savedBans and savedFriends are bans and friends on disk, in wall time.
type savedBans struct {
	Saved moment          `json:"saved"`
	Bans  []portsnare.Ban `json:"bans"`
}

type savedFriends struct {
	Saved   moment             `json:"saved"`
	Friends []portsnare.Friend `json:"friends"`
}

// LoadBans returns the last ban of every source, in force or not, in the wall time
// of when they were saved. Where there is no file the error is of kind NotFound,
// where it is damaged of kind Invalid.
func LoadBans(dir string) ([]portsnare.Ban, error) {
	var saved savedBans
	_, err := load(dir, bansFile, &saved, &saved.Bans)
	return saved.Bans, err
}

// LoadFriends returns the friends that were known last, likewise.
func LoadFriends(dir string) ([]portsnare.Friend, error) {
	var saved savedFriends
	_, err := load(dir, friendsFile, &saved, &saved.Friends)
	return saved.Friends, err
}

// load reads a file into value, or a file of the first version, which has no seal,
// into plainValue; plain says so.
func load(dir, name string, value, plainValue any) (plain bool, err error) {
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		return false, fileError("read", path, err)
	}
	body, plain, err := unwrap(name, text)
	if plain {
		value = plainValue
	}
	if err == nil {
		err = json.Unmarshal(body, value)
	}
	if err != nil {
		return plain, &portsnare.Error{Kind: portsnare.Invalid, Op: "read", Subject: path, Err: err}
	}
	return plain, nil
}

// store writes the files of a state directory.
type store struct {
	dir    string
	writes int   // files written
	bytes  int64 // written to them
}

// order saves an order in both files. It is saved when there is no error.
func (s *store) order(saved SavedOrder) error {
	if _, err := s.save(orderFile, saved); err != nil {
		return err
	}
	_, err := s.save(orderCopy, saved)
	return err
}

// save replaces a file and returns its size.
func (s *store) save(name string, value any) (size int, err error) {
	body, err := json.Marshal(value)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	text, path := wrap(name, body), filepath.Join(s.dir, name)
	s.writes++
	s.bytes += int64(len(text))
	return len(text), fileError("save", path, writeFile(path, text))
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

// fileError gives an error of the file system its kind, and leaves out the names
// of temporary files, which are others each time; nil stays nil.
func fileError(op, subject string, err error) error {
	if err == nil {
		return nil
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	e := &portsnare.Error{Op: op, Subject: subject, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Kind = portsnare.NotFound
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Hint = portsnare.Denied, "run it as root"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Kind, e.Hint = portsnare.LimitExceeded, "free space on the disk of "+filepath.Dir(subject)
	case errors.Is(err, syscall.EROFS):
		e.Kind, e.Hint = portsnare.Unavailable, "remount the file system of "+filepath.Dir(subject)+" so that it can be written"
	}
	return e
}
