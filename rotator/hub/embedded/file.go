package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
	"github.com/portsnare/portsnare"
)

// The files below the state directory. All of them are secrets but authorityFile.
const (
	authorityFile = "authority.crt" // by it hosts and operator know the controller
	authorityKey  = "authority.pem" // the same and its key, which signs server certificates
	serverFile    = "server.pem"    // key and certificate together, so that they never part
	operatorFile  = "operator.nk"   // nkey seed of the command line
	urlFile       = "hub.url"       // where the command line of this machine finds the controller
	lockFile      = "lock"          // held while a controller runs
	manifestFile  = "jetstream.sum" // checksums of the store, written at a regular end
	storeDir      = "jetstream"
	damagedDir    = "damaged" // streams that were set aside

	// Of the first version, and kept as long as hosts of that time are enrolled.
	oldAuthorityFile = "ca.crt"
	oldAuthorityKey  = "ca.key"
)

// sealMark begins the last line of a sealed file, which holds its checksum.
const sealMark = "# crc32 "

// WriteSealed replaces a file in one step with data and a checksum, readable by
// its owner alone, and returns when file and directory are on disk.
func WriteSealed(path string, data []byte) error { return writeFile(path, seal(data)) }

// ReadSealed returns what [WriteSealed] wrote. A file that was changed since is
// an error of kind Invalid.
func ReadSealed(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	data, ok := unseal(text)
	if !ok {
		return nil, &portsnare.Error{Kind: portsnare.Invalid, Op: "read", Subject: path, Err: errors.New("the file is damaged: its checksum is wrong")}
	}
	return data, nil
}

func seal(data []byte) []byte {
	return fmt.Appendf(bytes.Clone(data), "\n%s%08x\n", sealMark, crc32.ChecksumIEEE(data))
}

func unseal(text []byte) ([]byte, bool) {
	end := len(text) - len(sealMark) - len("\n00000000\n")
	if end < 0 {
		return nil, false
	}
	data := text[:end]
	return data, bytes.Equal(seal(data), text)
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

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
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
			Kind: portsnare.Conflict, Err: errors.New("another controller holds it"),
			Hint: "stop the other `portsnare run`, or give this one a state directory of its own",
		}
	}
	return f, nil
}
