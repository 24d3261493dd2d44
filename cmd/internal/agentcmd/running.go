package agentcmd

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent"
)

// logListeners is where the kernel lists who hears which NFLOG group, in the network
// namespace of the calling thread.
const logListeners = "/proc/thread-self/net/netfilter/nfnetlink_log"

// running reports whether an agent runs here: one that uses the state directory, or
// any that hears what the kernel program of this network namespace logs.
func (a *app) running() (bool, error) {
	unlock, err := hostagent.Lock(a.state)
	switch {
	case errors.Is(err, portsnare.Conflict):
		return true, nil
	case err == nil:
		if err := unlock(); err != nil {
			return false, err
		}
	case !errors.Is(err, portsnare.NotFound):
		return false, err
	}
	text, err := os.ReadFile(logListeners)
	if errors.Is(err, fs.ErrNotExist) { // the kernel knows no NFLOG, so nobody hears it
		return false, nil
	}
	return heard(text, logGroup), err
}

// heard reports whether somebody hears a group, by lines like "5709 1234 0 2 65535
// 100 1": the group and who hears it come first.
func heard(text []byte, group uint16) bool {
	for scanner := bufio.NewScanner(bytes.NewReader(text)); scanner.Scan(); {
		fields := strings.Fields(scanner.Text())
		if len(fields) > 0 && fields[0] == strconv.Itoa(int(group)) {
			return true
		}
	}
	return false
}

// errRunning refuses what a running agent would undo at once.
func errRunning(op string) error {
	return &portsnare.Error{Kind: portsnare.Conflict, Op: op, Err: errors.New("an agent is running here, and would put everything back"),
		Hint: "stop the agent first: systemctl stop portsnare-agent"}
}
