package hostagent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
)

func friendAt(n int, port string) pair { return pair{nthSource(n), parsePort(port)} }

// TestFriendsSurviveABoot, also one without a controller.
func TestFriendsSurviveABoot(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		until := time.Now().Add(portsnare.FriendTime)
		w.kernel.friends[friendAt(1, "22/tcp")] = until
		w.kernel.friends[friendAt(2, "22/tcp")] = time.Now().Add(time.Hour)
		w.stop()
		w.wait(2 * time.Hour) // the host is down
		w.kernel = w.newKernel()
		w.start()
		if got := w.kernel.friends; len(got) != 1 || !got[friendAt(1, "22/tcp")].Equal(until) {
			t.Errorf("friends after the boot: %v, want the one whose time is not over, until %s", got, until)
		}
		if info, err := os.Stat(filepath.Join(w.dir, friendsFile)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of the saved friends: %v, %v; want 0600", info.Mode(), err)
		}
	})
}

// TestFriendsAreSavedSoon: whoever pulls the plug loses seconds.
func TestFriendsAreSavedSoon(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		saved := func(want int) {
			t.Helper()
			w.wait(DefaultRemember)
			known, err := LoadFriends(w.dir)
			if want > 0 && err != nil || len(known) != want {
				t.Errorf("%d friends saved, %v; want %d", len(known), err, want)
			}
		}
		saved(0)
		one := friendAt(1, "22/tcp")
		w.kernel.friends[one] = time.Now().Add(portsnare.FriendTime)
		saved(1)
		if err := os.Remove(filepath.Join(w.dir, friendsFile)); err != nil {
			t.Fatal(err)
		}
		w.kernel.friends[one] = time.Now().Add(portsnare.FriendTime)
		saved(0) // seconds later the same friend is no news
		w.wait(staleFriend)
		w.kernel.friends[one] = time.Now().Add(portsnare.FriendTime)
		saved(1)
	})
}

// TestDamageLosesNoFriend: somebody has removed all rules and sets.
func TestDamageLosesNoFriend(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		w.see("198.51.100.7", "1000/tcp", true)
		friend := friendAt(1, "22/tcp")
		w.kernel.friends[friend] = time.Now().Add(portsnare.FriendTime)
		w.wait(DefaultRemember)
		w.kernel.loseEverything()
		w.wait(DefaultReconcile)
		if got := w.kernel; got.order.Generation != 1 || len(got.bans) != 1 || got.friends[friend].IsZero() {
			t.Errorf("in the kernel: generation %s, bans %v, friends %v", got.order.Generation, got.bans, got.friends)
		}
		sets := w.kernel.sets
		w.wait(DefaultReconcile)
		if got := w.kernel; got.sets != sets+1 || got.order.Friends != nil {
			t.Errorf("%d calls of Set in a quiet moment, with friends %v; want one and none", got.sets-sets, got.order.Friends)
		}
	})
}

func TestFriendsAreBounded(t *testing.T) {
	var f friends
	f.restore(nil)
	var known []portsnare.Friend
	for n := range maxFriends {
		known = append(known, portsnare.Friend{Source: nthSource(n), Port: parsePort("443/tcp"), Until: noon.Add(time.Duration(n+1) * time.Second)})
	}
	hidden := portsnare.Friend{Source: nthSource(0), Port: parsePort("22/tcp"), Until: noon.Add(time.Second)}
	f.learn(append(known, hidden))
	f.shrink(parsePorts("22/tcp"))
	if len(f.until) != maxFriends {
		t.Errorf("%d friends; want %d", len(f.until), maxFriends)
	}
	if f.until[pair{hidden.Source, hidden.Port}].IsZero() {
		t.Error("the friend of the hidden port was forgotten")
	}
	if !f.until[pair{known[0].Source, known[0].Port}].IsZero() {
		t.Error("the friend of a public port that ends first was kept")
	}
}

func TestFullMemoryIsReported(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		w.kernel.full = []string{"hit4"}
		w.wait(5 * measureEvery)
		if got := w.link.last(t).Full; len(got) != 1 || got[0] != "hit4" {
			t.Errorf("full as reported: %v, want hit4", got)
		}
		if got := strings.Count(w.log.String(), msgFull); got != 1 {
			t.Errorf("it was logged %d times, want once", got)
		}
		w.kernel.full = nil
		w.wait(measureEvery + DefaultHeartbeat)
		if got := w.link.last(t).Full; got != nil {
			t.Errorf("full as reported when it is over: %v", got)
		}
	})
}

// TestManyFriends: new friends each second are saved within ten seconds, and at no
// more than the agreed rate.
func TestManyFriends(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.send(newOrder(1))
		for n := range maxFriends {
			w.kernel.friends[friendAt(n, "443/tcp")] = time.Now().Add(portsnare.FriendTime)
		}
		w.wait(time.Minute)
		before, begin := w.agent.store.bytes, time.Now()
		for n := range 60 {
			w.kernel.friends[friendAt(maxFriends+n, "22/tcp")] = time.Now().Add(portsnare.FriendTime)
			w.wait(10 * time.Second)
			known, err := LoadFriends(w.dir)
			if err != nil || !slices.ContainsFunc(known, func(f portsnare.Friend) bool { return f.Source == nthSource(maxFriends+n) }) {
				t.Fatalf("friend %d was not saved within ten seconds (%v)", n, err)
			}
		}
		rate := float64(w.agent.store.bytes-before) / time.Since(begin).Seconds()
		t.Logf("%d friends, a new one every 10 s: %.0f bytes a second", maxFriends, rate)
		if rate > friendRate {
			t.Errorf("%.0f bytes a second; want %d at most", rate, friendRate)
		}
	})
}
