package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
	"github.com/portsnare/portsnare"
)

// The files below the state directory. All of them are secrets but caFile.
const (
	caFile       = "ca.crt"      // DER inside PEM: by it hosts and operator know the controller
	caKeyFile    = "ca.key"      // signs server certificates
	serverFile   = "server.pem"  // key and certificate together, so that they never part
	operatorFile = "operator.nk" // nkey seed of the command line
	urlFile      = "hub.url"     // where the command line of this machine finds the controller
	lockFile     = "lock"        // held while a controller runs
	storeDir     = "jetstream"
)

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

// readOrMake returns the content of a file that is made where it is missing.
func readOrMake(path string, generate func() ([]byte, error)) ([]byte, error) {
	data, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	if data, err = generate(); err != nil {
		return nil, err
	}
	return data, writeFile(path, data)
}

// claim makes dir where it is missing, closes it to others, and locks it: two
// controllers on one state would undo each other's work. The lock ends with
// the file returned, and with the process.
func claim(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, &portsnare.Error{
			Kind: portsnare.Conflict, Err: fmt.Errorf("another controller holds it"),
			Hint: "end the other `portsnare run`, or give this one a state directory of its own",
		}
	}
	return f, nil
}
