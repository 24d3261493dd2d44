package ipset

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// forwarding reports for each family whether packets for others may come by: the
// host routes, or bridges in sight of its firewall. Where neither is so, nothing
// is asked about the destination of a banned source, which costs much.
func forwarding() (yes [len(families)]bool, err error) {
	for i, f := range families {
		paths, _ := filepath.Glob("/proc/sys/net/ipv" + f.digit + "/conf/*/forwarding") // the pattern is well formed
		paths = append(paths, "/proc/sys/net/bridge/bridge-nf-call-"+f.tool)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return yes, err
			}
			if yes[i] = err == nil && strings.TrimSpace(string(text)) != "0"; yes[i] {
				break
			}
		}
	}
	return yes, nil
}
