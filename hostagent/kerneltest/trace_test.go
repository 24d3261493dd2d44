package kerneltest

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
)

// snapshot is all that somebody could find of us, by where he finds it.
func (w *world) snapshot() map[string]string {
	w.t.Helper()
	return map[string]string{
		"ipset save":        w.output("ipset", "save"),
		"iptables-save":     w.output("iptables-save"),
		"ip6tables-save":    w.output("ip6tables-save"),
		"nft list ruleset":  counted.ReplaceAllString(w.output("nft", "list", "ruleset"), "packets 0 bytes 0"),
		"parameters of net": w.parameters("/proc/sys/net"),
	}
}

// counted is what traffic changes, whoever looks.
var counted = regexp.MustCompile(`packets \d+ bytes \d+`)

// parameters returns every parameter below a folder that has a value, except
// for one that counts connections.
func (w *world) parameters(folder string) string {
	w.t.Helper()
	var b strings.Builder
	w.do(func(context.Context) error {
		return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || entry.Name() == "nf_conntrack_count" {
				return err
			}
			if value, err := os.ReadFile(path); err == nil { // some are to be written only
				fmt.Fprintf(&b, "%s: %s", path, value)
			}
			return nil
		})
	})
	return b.String()
}

// foreign loads what ufw, firewalld, Docker and others would have on the server.
func (w *world) foreign() {
	w.t.Helper()
	for file, program := range map[string][]string{
		"testdata/foreign.ipset":     {"ipset", "restore"},
		"testdata/foreign.iptables":  {"iptables-restore"},
		"testdata/foreign.ip6tables": {"ip6tables-restore"},
		"testdata/foreign.nft":       {"nft", "-f", "-"},
	} {
		text, err := os.ReadFile(file)
		w.check(err)
		w.feed(string(text), program[0], program[1:]...)
	}
	w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", "1003,30000-30009"))
}

// TestFlush: beside the rules and sets of others scanners are caught, and
// afterwards all is as it was.
func TestFlush(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.foreign()
		before := w.snapshot()
		w.set(w.order())
		scanner := w.source()
		w.syn(scanner, 1001, 1002)
		w.wantBanned(scanner, false)
		w.syn(scanner, 1003)
		w.wantBanned(scanner, true)
		if got := w.answers(w.source()); len(got) > 0 {
			t.Errorf("answered: %v", got)
		}
		w.do(w.b.Flush)
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("traces (-before +after):\n%s", diff)
		}
		w.do(w.b.Flush)
		w.wantBanned(scanner, false)
		w.record("State", "flush beside ufw, firewalld and Docker", "as found")
	})
}

// TestFlushOfBareHost: where nothing was, nothing is left; of iptables-legacy
// empty tables, since the kernel makes them for whoever looks, and has no way to
// remove one.
func TestFlushOfBareHost(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		if w.iptables == "legacy" {
			for _, table := range []string{"raw", "mangle"} {
				w.output("iptables-save", "-t", table)
				w.output("ip6tables-save", "-t", table)
			}
		}
		before := w.snapshot()
		w.set(w.order())
		w.do(w.b.Flush)
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("traces (-before +after):\n%s", diff)
		}
		w.record("State", "flush on a host without any rules", "as found")
	})
}

// TestFlushAmongOthersChains: what others had in the tables before us stays, and
// so does what they have begun to use since.
func TestFlushAmongOthersChains(t *testing.T) {
	forEach(t, []variant{ipsetNFT}, func(t *testing.T, w *world) {
		tool := map[string]string{"IPv4": "iptables", "IPv6": "ip6tables"}[w.family.name]
		w.output(tool, "-t", "mangle", "-A", "FORWARD", "-p", "tcp", "-j", "ACCEPT")
		w.output("nft", "add", "table", map[string]string{"IPv4": "ip6", "IPv6": "ip"}[w.family.name], "raw")
		before := w.snapshot()
		w.set(w.order())
		w.do(w.b.Flush)
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("traces (-before +after):\n%s", diff)
		}
		w.set(w.order())
		w.output(tool, "-t", "raw", "-A", "PREROUTING", "-p", "udp", "-j", "ACCEPT")
		w.output(tool, "-t", "mangle", "-P", "POSTROUTING", "DROP")
		w.set(w.order())
		w.do(w.b.Flush)
		after := w.snapshot()["nft list ruleset"]
		for _, want := range []string{"udp counter packets 0 bytes 0 accept", "policy drop"} {
			if !strings.Contains(after, want) {
				t.Errorf("%q of somebody else is gone:\n%s", want, after)
			}
		}
	})
}

// damage is what an administrator or another program does to us.
type damage struct {
	name     string
	hits     func(variant) bool
	commands string // lines, of words
}

func usesNFT(v variant) bool    { return v.iptables == "nft" }
func usesTables(v variant) bool { return v.name != nftablesOwn.name }

var damages = []damage{
	{"nft flush ruleset", usesNFT, "nft flush ruleset"},
	{"iptables -F", usesTables, `
		iptables -t raw -F
		iptables -t mangle -F
		ip6tables -t raw -F
		ip6tables -t mangle -F`},
	{"iptables -F -X, ipset destroy", usesTables, `
		iptables -t raw -F
		iptables -t raw -X
		iptables -t mangle -F
		iptables -t mangle -X
		ip6tables -t raw -F
		ip6tables -t raw -X
		ip6tables -t mangle -F
		ip6tables -t mangle -X`},
}

// TestRepair: the next Set puts everything back, the bans included, which the
// agent knows.
func TestRepair(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		w.set(order)
		banned := w.source()
		w.syn(banned, 1001, 1002, 1003)
		w.wantBanned(banned, true)
		order.Bans = w.savedBans()
		for _, d := range damages {
			if d.hits(w.variant) {
				w.repair(d, order)
				w.wantBanned(banned, true)
				w.record("State", "repair after "+d.name, "bans restored")
			}
		}
	})
}

func (w *world) repair(d damage, order portsnare.Order) {
	w.t.Helper()
	for line := range strings.Lines(d.commands) {
		if words := strings.Fields(line); len(words) > 0 {
			w.output(words[0], words[1:]...)
		}
	}
	if strings.Contains(d.name, "ipset") {
		w.destroySets()
	}
	if !w.set(order) {
		w.t.Errorf("%s: nothing was repaired", d.name)
	}
	if w.set(order) {
		w.t.Errorf("%s: the repair was not complete", d.name)
	}
	scanner := w.source()
	w.syn(scanner, 1001, 1002, 1003)
	w.wantBanned(scanner, true)
}

// savedBans returns the bans as an agent saves them.
func (w *world) savedBans() (bans []portsnare.Ban) {
	w.t.Helper()
	w.do(func(ctx context.Context) (err error) {
		bans, err = w.b.Bans(ctx)
		return err
	})
	return bans
}

// destroySets destroys every set, as soon as the kernel lets go of them.
func (w *world) destroySets() {
	w.t.Helper()
	ctx := w.soon()
	for {
		_, err := w.Server.Command(ctx, "ipset", "destroy").Output()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			w.check(err)
		}
	}
}

// TestSavedRuleset: what "nft list ruleset" prints is loaded at boot.
func TestSavedRuleset(t *testing.T) {
	forEach(t, []variant{nftablesOwn}, func(t *testing.T, w *world) {
		w.set(w.order())
		banned := w.source()
		w.syn(banned, 1001, 1002, 1003)
		w.wantBanned(banned, true)
		saved, err := w.Server.Command(w.soon(), "nft", "list", "ruleset").Output()
		w.check(err)
		w.output("nft", "flush", "ruleset")
		w.wantBanned(banned, false)
		w.feed(string(saved), "nft", "-f", "-")
		w.wantBanned(banned, true)
		scanner := w.source()
		w.syn(scanner, 1001, 1002, 1003)
		w.wantBanned(scanner, true)
		w.set(w.order())
		w.wantBanned(banned, true)
		w.record("State", "a saved ruleset is loaded again", "bans restored")
	})
}
