package kerneltest

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// crowd returns bans of so many strangers, each a second longer than the one before.
func (f family) crowd(from, to int, first time.Time) (bans []portsnare.Ban) {
	for n := from; n < to; n++ {
		bans = append(bans, portsnare.Ban{Source: portsnare.BanPrefix(f.stranger(n)), Until: first.Add(time.Duration(n) * time.Second)})
	}
	return bans
}

func (w *world) ban(bans []portsnare.Ban) error {
	w.t.Helper()
	return w.attempt(func(ctx context.Context) error { return w.b.Ban(ctx, bans) })
}

// slack is how much longer a ban may last than it was ordered: the kernel counts
// from when it is given it, and 65,536 take a while where everybody is busy.
const slack = 15 * time.Second

// wantBans fails the test unless exactly these bans are in force, until their times.
func (w *world) wantBans(want []portsnare.Ban) {
	w.t.Helper()
	begun := time.Now()
	got := w.bans()
	early := 2*time.Second + time.Since(begun) // the kernel tells what is left when it comes to an entry
	if len(got) != len(want) {
		w.t.Errorf("%d bans in force, want %d", len(got), len(want))
	}
	for _, ban := range want {
		if until, ok := got[ban.Source]; !ok || until.Before(ban.Until.Add(-early)) || until.After(ban.Until.Add(slack)) {
			w.t.Fatalf("%s is banned until %s, want %s", ban.Source, until, ban.Until)
		}
	}
}

// TestManyBans: many at once, mixed with some that change nothing, are all in force
// afterwards and told with their times, and can all be lifted at once.
func TestManyBans(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		order := w.order()
		order.Allow = []netip.Prefix{portsnare.BanPrefix(w.stranger(70_000))}
		w.set(order)
		hour := time.Now().Add(time.Hour)
		bans := w.crowd(0, 10_000, hour)
		over := portsnare.Ban{Source: portsnare.BanPrefix(w.stranger(70_001)), Until: time.Now().Add(-time.Second)}
		allowed := portsnare.Ban{Source: order.Allow[0], Until: hour}
		twice := bans[0]
		twice.Until = hour.Add(-time.Minute) // shortens, and counts because it is the last
		w.check(w.ban(append(bans[:len(bans):len(bans)], over, allowed, twice)))
		bans[0] = twice
		w.wantBans(bans)
		for n := range bans[:100] {
			bans[n].Until = bans[n].Until.Add(-10 * time.Minute) // shortens
		}
		w.check(w.ban(bans[:100]))
		w.wantBans(bans)

		var lift []netip.Prefix
		for _, ban := range bans[:9_000] {
			lift = append(lift, ban.Source)
		}
		w.do(func(ctx context.Context) error {
			return w.b.Unban(ctx, append(lift, lift[0], over.Source, netip.MustParsePrefix("203.0.113.9/32")))
		})
		w.wantBans(bans[9_000:])
		order.Bans = bans[:9_001] // those that were lifted come back if they are ordered
		w.set(order)
		w.wantBans(bans)
		w.record("State", "10,000 bans in one call, and lifted in one", "all in force, all lifted")
	})
}

// TestInvalidAmongBans: one that is none has none carried out.
func TestInvalidAmongBans(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		bans := append(w.crowd(0, 3, time.Now().Add(time.Hour)), portsnare.Ban{Source: netip.MustParsePrefix("198.51.100.0/24"), Until: time.Now().Add(time.Hour)})
		w.wantRefused("Ban", w.ban(bans), portsnare.Invalid, "", "")
		w.wantBans(nil)
	})
}

// TestBansFull: as many bans as the kernel holds are in force, which is the same
// number whoever it is. Those that end first find no room, which is said, and
// everything else is armed.
func TestBansFull(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	forEach(t, defences, func(t *testing.T, w *world) {
		const many = 70
		order, hour := w.order(), time.Now().Add(time.Hour)
		all := w.crowd(0, kernel.MaxBans+many, hour)
		other := ipv6
		if w.digit == "6" {
			other = ipv4
		}
		order.Bans = append(other.crowd(0, 1, hour), all...)
		w.set(order)
		if !w.standing().Carries(order.Order) {
			t.Errorf("stands %+v, want the order", w.standing())
		}
		problems := w.b.Problems()
		if len(problems) != 1 {
			t.Fatalf("problems %v, want one", problems)
		}
		w.wantRefused("problem", problems[0], portsnare.LimitExceeded, fmt.Sprintf("%d of %s", many, w.family.name), "policy.ban")
		want := append(other.crowd(0, 1, hour), all[many:]...)
		w.wantBans(want)
		if w.set(order) {
			t.Error("the second Set changed something")
		}
		if len(w.b.Problems()) != 1 {
			t.Errorf("problems after the second Set %v, want one", w.b.Problems())
		}

		one, more := all[len(all)-1], other.crowd(1, 2, hour)
		one.Until = one.Until.Add(time.Hour)
		err := w.ban([]portsnare.Ban{all[0], one, more[0]})
		w.wantRefused("Ban", err, portsnare.LimitExceeded, "1 of "+w.family.name, "policy.ban")
		if !strings.Contains(err.Error(), all[0].Source.String()) {
			t.Errorf("%v, want %s named", err, all[0].Source)
		}
		want[len(want)-1] = one
		w.wantBans(append(want, more...))
		if full := w.full(); len(full) > 0 && full[0] != "ban"+w.digit {
			t.Errorf("full: %v", full)
		}

		w.do(func(ctx context.Context) error { return w.b.Unban(ctx, []netip.Prefix{one.Source}) })
		w.check(w.ban(all[:1]))
		w.record("State", "more bans than the kernel holds", "65,536 of a family in force, the others told")
	})
}

// TestUpgradeOfBans: sets of bans that an earlier version made with another bound
// get ours, and their bans live on.
func TestUpgradeOfBans(t *testing.T) {
	forEach(t, []variant{ipsetNFT, ipsetLegacy}, func(t *testing.T, w *world) {
		bans := w.crowd(0, 100, time.Now().Add(time.Hour))
		kind := map[string]string{"4": "family inet", "6": "family inet6 netmask 64"}[w.digit]
		w.feed("create portsnare_ban"+w.digit+" hash:ip "+kind+" hashsize 16384 maxelem 393216 timeout 0 counters\n", "ipset", "restore")
		w.check(w.ban(bans))
		w.set(w.order())
		w.wantBans(bans)
		if text := w.output("ipset", "list", "-t", "portsnare_ban"+w.digit); !strings.Contains(text, fmt.Sprintf("maxelem %d ", kernel.MaxBans)) {
			t.Errorf("the bound is not ours: %s", text)
		}
		if w.set(w.order()) {
			t.Error("the second Set changed something")
		}
	})
}

// BenchmarkBan measures 10,000 bans in one call, of sources who are not banned yet.
func BenchmarkBan(b *testing.B) {
	for _, v := range defences {
		b.Run(strings.ReplaceAll(v.name, ", ", "-"), func(b *testing.B) {
			l := newLane(b, rival{variant: v, arm: func(*world) {}}, load{})
			l.family = ipv4
			l.set(l.order())
			bans := l.crowd(0, 10_000, time.Now().Add(time.Hour))
			var sources []netip.Prefix
			for _, ban := range bans {
				sources = append(sources, ban.Source)
			}
			for b.Loop() {
				l.check(l.ban(bans))
				b.StopTimer()
				l.do(func(ctx context.Context) error { return l.b.Unban(ctx, sources) })
				b.StartTimer()
			}
		})
	}
}
