package hostagent

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
)

// Lock takes the state directory for one agent, until unlock or the end of the
// process. Where another agent has it the error is of kind Conflict. It works on a
// full or read-only disk too: the directory itself is what is locked.
func Lock(dir string) (unlock func() error, err error) {
	const op = "lock the state directory"
	d, err := os.Open(dir)
	if err != nil {
		return nil, fileError(op, dir, err)
	}
	err = unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return d.Close, nil
	}
	d.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, &portsnare.Error{Kind: portsnare.Conflict, Op: op, Subject: dir,
			Err: errors.New("an agent is running with it"), Hint: "stop the agent first: systemctl stop portsnare-agent"}
	}
	return nil, fileError(op, dir, err)
}
