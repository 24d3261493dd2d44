package kerneltest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/portsnare/portsnare/hostagent/ipset"
	"github.com/portsnare/portsnare/hostagent/nftables"
)

var (
	ipsetNFT    = variant{"ipset, iptables-nft", openIPSet, "nft"}
	ipsetLegacy = variant{"ipset, iptables-legacy", openIPSet, "legacy"}
	nftablesOwn = variant{"nftables", openNFTables, "nft"}
	defenceless = variant{"no defence", func() Backend { return noDefence{} }, "nft"}

	defences = []variant{ipsetNFT, ipsetLegacy, nftablesOwn}
)

func openIPSet() Backend    { return ipset.New(ipset.Options{}) }
func openNFTables() Backend { return nftables.New(nftables.Options{}) }

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
