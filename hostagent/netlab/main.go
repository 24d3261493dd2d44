//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// stageEnv tells the processes of a test binary how far Main has come.
const (
	stageEnv    = "NETLAB_STAGE"
	stageMoved  = "moved"  // in new namespaces, which are still bare
	stageInside = "inside" // ready; programs the tests start see this one
)

// RequiredEnv is an environment variable. When it is not empty, New fails a
// test it would otherwise skip: where kernel tests must run, as in CI, a
// missing right must not look like success.
const RequiredEnv = "NETLAB_REQUIRED"

// barred is why this process, though moved, cannot make namespaces.
var barred error

// Main runs the tests of a package, m being its *testing.M, in a process of
// their own with fresh network and mount namespaces. Nothing they do can reach
// the machine's network, its firewall or its /run. Without root's rights the
// process becomes root of a user namespace. Where none of this is allowed the
// tests run where they are and those that need a Lab skip.
//
//	func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }
func Main(m interface{ Run() int }) int {
	switch os.Getenv(stageEnv) {
	case stageInside:
		return m.Run()
	case stageMoved:
		os.Setenv(stageEnv, stageInside)
		barred = furnish()
		return m.Run()
	}
	child, err := move()
	if err != nil {
		barred = err
		return m.Run()
	}
	state, err := child.Wait()
	if err != nil {
		fmt.Fprintln(os.Stderr, "netlab: wait for the tests:", err)
		return 1
	}
	if state.Exited() {
		return state.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "netlab: the tests ended by", state)
	return 1
}

// move starts this program again, with the same arguments, in new namespaces.
func move() (*os.Process, error) {
	runtime.LockOSThread() // for good: Pdeathsig is about this very thread
	child, err := moveBy(unix.CLONE_NEWNET | unix.CLONE_NEWNS)
	if errors.Is(err, os.ErrPermission) {
		child, err = moveBy(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUSER)
	}
	return child, err
}

func moveBy(flags uintptr) (*os.Process, error) {
	attr := &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if flags&unix.CLONE_NEWUSER != 0 {
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), stageEnv+"="+stageMoved),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   attr,
	})
}

// furnish gives the new mount namespace a /run of its own, where programs such
// as iptables keep their locks.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	return loopbackUp()
}
