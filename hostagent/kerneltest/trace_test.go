package kerneltest

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
)

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

// TestFlushOfBareHost: where nothing was, nothing that bears our name is left.
// The iptables make tables as they are looked at, and have no word to remove
// one.
func TestFlushOfBareHost(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.set(w.order())
		w.do(w.b.Flush)
		for where, text := range w.snapshot() {
			if strings.Contains(strings.ToLower(text), "portsnare") {
				t.Errorf("%s:\n%s", where, text)
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
