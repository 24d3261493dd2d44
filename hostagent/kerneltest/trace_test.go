package kerneltest

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// TestFlush: beside the rules and sets of others scanners are caught, theirs
// stand as they did, and afterwards all is as it was.
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
		for where, text := range w.snapshot() {
			if gone := missing(before[where], text); len(gone) > 0 && where != "parameters of net" {
				t.Errorf("%s: gone while we were there:\n%s", where, strings.Join(gone, "\n"))
			}
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

// missing returns the lines of one text that another has not, or less often.
func missing(text, in string) (lines []string) {
	there := map[string]int{}
	for line := range strings.SplitSeq(in, "\n") {
		there[line]++
	}
	for line := range strings.SplitSeq(text, "\n") {
		if there[line]--; there[line] < 0 {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestFlushOfNothing: where nothing is, nothing is made.
func TestFlushOfNothing(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		before := w.snapshot()
		w.do(w.b.Flush)
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("flush made (-before +after):\n%s", diff)
		}
		w.record("State", "flush where nothing is", "nothing made")
	})
}

// TestFlushOfBareHost: where nothing was, nothing is left; of iptables-legacy
// empty tables, since the kernel makes them for whoever looks, and has no way to
// remove one.
func TestFlushOfBareHost(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
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
		for _, want := range []string{"udp counter accept", "policy drop"} {
			if !strings.Contains(after, want) {
				t.Errorf("%q of somebody else is gone:\n%s", want, after)
			}
		}
	})
}

// reservedByOthers is what stands in ip_local_reserved_ports without us. One of
// the ports is a trap.
const reservedByOthers = "1003,30000-30009"

func (w *world) resetReserved() {
	w.t.Helper()
	w.check(w.Server.Sysctl("net.ipv4.ip_local_reserved_ports", reservedByOthers))
}

// TestRepair: the next Set puts everything back, the bans included, which the
// agent knows, and a scanner is caught.
func TestRepair(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.resetReserved()
		banned, order := w.source(), w.order()
		order.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}
		order.Bans = []portsnare.Ban{{Source: portsnare.BanPrefix(banned), Until: time.Now().Add(time.Hour)}}
		w.set(order)
		before := w.snapshot()
		for _, d := range w.damages() {
			w.repair(d, order, before)
			if d.part {
				continue
			}
			w.wantBanned(banned, true)
			scanner := w.source()
			w.syn(scanner, 1001, 1002, 1003)
			w.wantBanned(scanner, true)
			w.record("State", "repair after "+d.name, "bans restored")
			w.do(w.b.Flush)
			w.set(order)
		}
		w.record("State", "repair of single rules, sets, entries and parameters", "as it was")
		w.do(w.b.Flush)
		if got := w.reserved(); got != reservedByOthers {
			t.Errorf("reserved ports after Flush %q, want %q", got, reservedByOthers)
		}
	})
}

func (w *world) repair(d damage, order kernel.State, want map[string]string) {
	w.t.Helper()
	w.suffer(d)
	if !w.set(order) {
		w.t.Errorf("%s: nothing was repaired", d.name)
	}
	if diff := cmp.Diff(want, w.snapshot()); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", d.name, diff)
	}
	if w.set(order) {
		w.t.Errorf("%s: the repair was not complete", d.name)
	}
}

// TestRotationRepairs: damage to the rules is found by the next order too, which
// otherwise need not look at them.
func TestRotationRepairs(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		w.resetReserved()
		a, b := w.order(), w.order()
		a.Traps.Secret = w.ports("3001-3009/tcp")
		w.set(b)
		want := w.snapshot()
		for _, d := range append([]damage{{name: "no damage"}}, w.damages()...) {
			if d.entries {
				continue
			}
			w.set(a)
			w.set(a)
			w.suffer(d)
			w.set(b)
			if diff := cmp.Diff(want, w.snapshot()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", d.name, diff)
			}
		}
		w.record("State", "a rotation after damage to the rules", "as without it")
	})
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

// TestSavedRuleset: what "nft list ruleset" prints is loaded at boot. It is our
// program still, with all that it remembered.
func TestSavedRuleset(t *testing.T) {
	forEach(t, []variant{nftablesOwn}, func(t *testing.T, w *world) {
		order := w.order()
		order.Policy.Delay = true
		order.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:9::/48")}
		order.Friends = []portsnare.Friend{friendOf(hiddenPort, w.source(), time.Hour)}
		w.set(order)
		banned, struck := w.source(), w.source()
		w.syn(banned, 1001, 1002, 1003, 1004, 1005)
		w.syn(struck, 1001, 1002)
		w.answers(struck)
		saved, err := w.Server.Command(w.soon(), "nft", "list", "ruleset").Output()
		w.check(err)
		w.output("nft", "flush", "ruleset")
		if w.banned(banned) {
			t.Error("banned without a ruleset")
		}
		w.feed(string(saved), "nft", "-f", "-")
		if w.set(order) {
			t.Error("the loaded program is not ours")
		}
		w.wantDropped(banned, 3)
		w.wantBanned(banned, true)
		w.wantFriends(order.Friends...)
		w.syn(struck, 1001, 1002)
		w.answers(struck)
		if w.banned(struck) {
			t.Error("hits were lost")
		}
		w.syn(struck, 1003)
		w.wantBanned(struck, true)
		w.record("State", "a saved ruleset is loaded again", "bans, strikes, hits and friends kept")
	})
}

// TestAnotherVersion: a table of another form is replaced in one transaction,
// and nobody who is banned, or a friend, notices.
func TestAnotherVersion(t *testing.T) {
	forEach(t, []variant{nftablesOwn}, func(t *testing.T, w *world) {
		w.set(w.order())
		banned, friend := w.source(), w.befriend()
		w.syn(banned, 1001, 1002, 1003)
		w.wantBanned(banned, true)
		w.output("nft", "flush table inet portsnare; delete set inet portsnare hit4; add set inet portsnare hit4 { type ipv4_addr; }")
		w.set(w.order())
		w.wantDropped(banned, 2)
		w.wantBanned(banned, true)
		w.wantFriends(friendOf(hiddenPort, friend, portsnare.FriendTime))
		if w.set(w.order()) {
			t.Error("the second Set changed something")
		}
		w.record("State", "a table of another version", "bans and friends kept")
	})
}
