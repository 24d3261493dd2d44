package nftables

import (
	"context"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
)

// TestPolicyChanges: hits, strikes and bans outlive a change of the policy.
func TestPolicyChanges(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		order := w.order("1001-1009/tcp", "")
		w.set(order)
		banned, struck := w.source(2), w.source(3)
		w.syn(banned, 1001, 1002, 1003)
		w.syn(struck, 1001, 1002)
		order.Policy = portsnare.Policy{Strikes: 4, Window: time.Hour, BanMin: time.Hour, BanMax: time.Hour}
		w.set(order)
		w.syn(struck, 1001, 1002) // the hits are remembered
		w.syn(struck, 1003)
		w.wantBanned(struck, false)
		w.wantBanned(banned, true)
		w.syn(struck, 1004)
		w.wantBanned(struck, true)
		if left := time.Until(w.bans()[portsnare.BanPrefix(struck)]); left < 59*time.Minute {
			t.Errorf("ban lasts %s, want 1h", left)
		}
		order.Policy.Strikes = 2
		w.set(order)
		w.syn(w.source(4), 1001, 1002)
		w.wantBanned(w.source(4), true)
	})
}

func TestBan(t *testing.T) {
	inWorlds(t, func(t *testing.T, w *world) {
		source := w.source(2)
		prefix := portsnare.BanPrefix(source)
		ban := func(left time.Duration) {
			t.Helper()
			w.do(func(ctx context.Context) error { return w.b.Ban(ctx, prefix, time.Now().Add(left)) })
		}
		wantLeft := func(want time.Duration) {
			t.Helper()
			if got := time.Until(w.bans()[prefix]); got > want+time.Second || got < want-5*time.Second {
				t.Errorf("ban lasts %s, want %s", got, want)
			}
		}
		ban(time.Minute) // before the first order
		wantLeft(time.Minute)
		order := w.order("1001-1009/tcp", "")
		w.set(order)
		w.wantBanned(source, true)
		ban(time.Hour)
		wantLeft(time.Hour)
		order.Bans = []portsnare.Ban{{Source: prefix, Until: time.Now().Add(time.Minute)}}
		w.set(order)
		wantLeft(time.Hour)
		order.Bans[0].Until = time.Now().Add(2 * time.Hour)
		w.set(order)
		wantLeft(2 * time.Hour)
		w.wantDropped(source, 1) // by wantBanned; prolonging keeps the count
		ban(-time.Minute)
		wantLeft(2 * time.Hour)
	})
}
