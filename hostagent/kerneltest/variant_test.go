package kerneltest

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/ipset"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// Backend is what the suite asks of a kernel backend.
type Backend interface {
	Set(ctx context.Context, order portsnare.Order) (changed bool, err error)
	Ban(ctx context.Context, source netip.Prefix, until time.Time) error
	Bans(ctx context.Context) ([]portsnare.Ban, error)
	Flush(ctx context.Context) error
}

// variant is a backend on a host of some kind.
type variant struct {
	name     string
	open     func() Backend
	iptables string // the host's variant of iptables
}

var (
	ipsetNFT    = variant{"ipset, iptables-nft", openIPSet, "nft"}
	ipsetLegacy = variant{"ipset, iptables-legacy", openIPSet, "legacy"}
	defenceless = variant{"no defence", func() Backend { return noDefence{} }, "nft"}

	defences = []variant{ipsetNFT, ipsetLegacy}
)

func openIPSet() Backend { return ipset.New(ipset.Options{}) }

// noDefence shows what a scan finds without us, and with it that it can find
// something.
type noDefence struct{}

func (noDefence) Set(context.Context, portsnare.Order) (bool, error) { return false, nil }
func (noDefence) Ban(context.Context, netip.Prefix, time.Time) error { return nil }
func (noDefence) Bans(context.Context) ([]portsnare.Ban, error)      { return nil, nil }
func (noDefence) Flush(context.Context) error                        { return nil }

// forEach runs a test for each variant and both families. Families run at the
// same time, variants one after the other.
func forEach(t *testing.T, variants []variant, test func(t *testing.T, w *world)) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			v.install(t)
			for _, f := range families {
				t.Run(f.name, func(t *testing.T) {
					t.Parallel()
					test(t, newWorld(t, v, f))
				})
			}
		})
	}
}

// install makes "iptables" and its kin mean the variant's for every program
// that is run from now on until the test ends, as update-alternatives would.
func (v variant) install(t testing.TB) {
	t.Helper()
	dir := t.TempDir()
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, end := range []string{"", "-save", "-restore"} {
			program, err := exec.LookPath(tool + "-" + v.iptables + end)
			if err != nil {
				notInstalled(t, err)
			}
			if err := os.Symlink(program, filepath.Join(dir, tool+end)); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// notInstalled skips a test for want of a program, except where all must run.
func notInstalled(t testing.TB, err error) {
	t.Helper()
	if os.Getenv(netlab.RequiredEnv) != "" {
		t.Fatalf("not installed: %v", err)
	}
	t.Skipf("not installed: %v", err)
}
