// Package host asks the defended host what the kernel backends have to know of
// it before they program it. All answers are those of the network namespace of
// the calling thread.
package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// NetAdmin reports whether this thread, and a program it starts, may change the
// network of its namespace (CAP_NET_ADMIN).
func NetAdmin() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}

// Forwards reports for IPv4 and IPv6 whether packets for others may come by: the
// host routes, or it has a bridge whose packets its firewall sees.
func Forwards() (yes [2]bool, err error) {
	bridge := sync.OnceValues(hasBridge)
	bridged := func(tool string) (bool, error) {
		sees, err := switchedOn("/proc/sys/net/bridge/bridge-nf-call-" + tool)
		if err != nil || !sees {
			return false, err
		}
		return bridge()
	}
	for i, family := range []struct{ conf, tool string }{
		{"/proc/sys/net/ipv4/conf/*/forwarding", "iptables"},
		{"/proc/sys/net/ipv6/conf/*/forwarding", "ip6tables"},
	} {
		if yes[i], err = anySwitchedOn(family.conf); err == nil && !yes[i] {
			yes[i], err = bridged(family.tool)
		}
		if err != nil {
			return yes, err
		}
	}
	return yes, nil
}

func anySwitchedOn(pattern string) (bool, error) {
	paths, _ := filepath.Glob(pattern) // it is well formed
	for _, path := range paths {
		if on, err := switchedOn(path); on || err != nil {
			return on, err
		}
	}
	return false, nil
}

// switchedOn reads a parameter of the kernel. One that does not exist is off.
func switchedOn(path string) (bool, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return strings.TrimSpace(string(text)) != "0" && err == nil, err
}
