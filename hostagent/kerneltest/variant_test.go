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
	"github.com/portsnare/portsnare/hostagent/nftables"
)

// Backend is what the suite asks of a kernel backend.
type Backend interface {
	Set(ctx context.Context, order portsnare.Order) (changed bool, err error)
	Ban(ctx context.Context, source netip.Prefix, until time.Time) error
	Bans(ctx context.Context) ([]portsnare.Ban, error)
	Friends(ctx context.Context) ([]portsnare.Friend, error)
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
	nftablesOwn = variant{"nftables", openNFTables, "nft"}
	defenceless = variant{"no defence", func() Backend { return noDefence{} }, "nft"}

	defences = []variant{ipsetNFT, ipsetLegacy, nftablesOwn}
)

func openIPSet() Backend    { return ipset.New(ipset.Options{}) }
func openNFTables() Backend { return nftables.New(nftables.Options{}) }

// noDefence shows what a scan finds without us, and with it that it can find
// something.
type noDefence struct{}

func (noDefence) Set(context.Context, portsnare.Order) (bool, error)  { return false, nil }
func (noDefence) Ban(context.Context, netip.Prefix, time.Time) error  { return nil }
func (noDefence) Friends(context.Context) ([]portsnare.Friend, error) { return nil, nil }
func (noDefence) Bans(context.Context) ([]portsnare.Ban, error)       { return nil, nil }
func (noDefence) Flush(context.Context) error                         { return nil }

// forEach runs a test for each variant and both families: at the same time,
// except that a host has one variant of iptables.
func forEach(t *testing.T, variants []variant, test func(t *testing.T, w *world)) {
	for _, iptables := range []string{"nft", "legacy"} {
		t.Run("iptables-"+iptables, func(t *testing.T) {
			install(t, iptables)
			for _, v := range variants {
				if v.iptables == iptables {
					forBoth(t, v, test)
				}
			}
		})
	}
}

func forBoth(t *testing.T, v variant, test func(t *testing.T, w *world)) {
	for _, f := range families {
		t.Run(v.name+"/"+f.name, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t, v, f))
		})
	}
}

// install makes "iptables" and its kin mean one variant for every program that
// is run from now on until the test ends, as update-alternatives would.
func install(t testing.TB, variant string) {
	t.Helper()
	dir := t.TempDir()
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, end := range []string{"", "-save", "-restore"} {
			program, err := exec.LookPath(tool + "-" + variant + end)
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
