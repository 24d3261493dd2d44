package host

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
)

// Lock keeps other processes that call it out of this network namespace until
// release is called or this process ends. The lock is one on the namespace itself,
// so there is no file that could be left behind. Every user of the host can hold
// it; so whoever has waited for long enough, or cannot have it at all, goes on
// without.
func Lock(ctx context.Context) (release func()) {
	const enough, pause = 3 * time.Second, 10 * time.Millisecond
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return func() {}
	}
	release = func() { f.Close() }
	waited := time.NewTimer(enough)
	defer waited.Stop()
	for unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		select {
		case <-ctx.Done():
			return release
		case <-waited.C:
			return release
		case <-time.After(pause):
		}
	}
	return release
}

// CheckPrivilege returns an error of kind [portsnare.Denied] unless this thread may
// program the firewall.
func CheckPrivilege() error {
	if NetAdmin() {
		return nil
	}
	return &portsnare.Error{
		Kind: portsnare.Denied, Op: "program the firewall",
		Err: os.ErrPermission, Hint: hintRoot,
	}
}
