package kerneltest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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

// forEach runs a test for each variant and both families, at the same time.
func forEach(t *testing.T, variants []variant, test func(t *testing.T, w *world)) {
	if err := dispatch(); err != nil {
		notInstalled(t, err)
	}
	for _, v := range variants {
		forBoth(t, v, test)
	}
}

// programs are those of iptables that a host has in one variant.
var programs = []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"}

// inVariant returns the program of a variant: iptables-nft-save.
func inVariant(variant, program string) (path string, err error) {
	tool, end, found := strings.Cut(program, "-")
	if found {
		end = "-" + end
	}
	return exec.LookPath(tool + "-" + variant + end)
}

// dispatch makes "iptables" and its kin mean, on each host, the variant of that
// host: the program looks for the mark that newWorld has made.
var dispatch = sync.OnceValue(func() error {
	for _, program := range programs {
		nft, errNFT := inVariant("nft", program)
		legacy, errLegacy := inVariant("legacy", program)
		if err := errors.Join(errNFT, errLegacy); err != nil {
			return err
		}
		script := fmt.Sprintf("#!/bin/sh\nread mark <%s\n[ $mark = %s ] && exec %s \"$@\"\nexec %s \"$@\"\n", markFile, legacyMark, legacy, nft)
		if err := os.WriteFile(filepath.Join(scratch, program), []byte(script), 0o755); err != nil {
			return err
		}
	}
	return os.Setenv("PATH", scratch+":"+os.Getenv("PATH"))
})

// install makes "iptables" and its kin mean one variant for every program that
// is run from now on until the test ends, as update-alternatives would.
func install(t testing.TB, variant string) {
	t.Helper()
	dir := t.TempDir()
	for _, program := range programs {
		path, err := inVariant(variant, program)
		if err != nil {
			notInstalled(t, err)
		}
		if err := os.Symlink(path, filepath.Join(dir, program)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}
