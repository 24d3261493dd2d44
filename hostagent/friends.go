package hostagent

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// maxFriends bounds what is saved. Friends of hidden ports are kept before those
// of public ones, and the freshest first.
const maxFriends = 10_000

// What it may cost to save friends soon: a twentieth of one processor to look at
// them, and so many bytes a second, at which maxFriends of them are saved every
// 8 s.
const (
	lookShare  = 20
	maxLook    = time.Minute
	friendRate = 128 << 10
)

// staleFriend is how much longer than on disk a friend may stay one before that
// is worth a write: his time begins anew with every conversation.
const staleFriend = time.Hour

// pair is what makes a [portsnare.Friend] one, without the time.
type pair struct {
	source source
	port   portsnare.Port
}

// friends are the friends known: what the kernel knew when it was asked last,
// and what was known before and is not over. Their times are the agent's own.
type friends struct {
	until map[pair]time.Time
	saved map[pair]time.Time // as they are on disk
	lost  bool               // the kernel may not know them

	saveFrom time.Time // when they may be saved again
}

// restore takes up the friends on disk, which the kernel may not know.
func (f *friends) restore(known []portsnare.Friend) {
	f.until, f.lost = map[pair]time.Time{}, true
	f.learn(known)
	f.saved = maps.Clone(f.until)
}

// learn adds friends, and reports whether there was news; one that is known stays
// for the longer time.
func (f *friends) learn(known []portsnare.Friend) (news bool) {
	for _, friend := range known {
		p := pair{friend.Source, friend.Port}
		if kernel.CheckFriend(friend) == nil && friend.Until.After(f.until[p]) {
			f.until[p], news = friend.Until.UTC(), true
		}
	}
	return news
}

// current returns the friends whose time is not over, sorted.
func (f *friends) current(now time.Time) []portsnare.Friend {
	maps.DeleteFunc(f.until, func(_ pair, until time.Time) bool { return !until.After(now) })
	all := make([]portsnare.Friend, 0, len(f.until))
	for p, until := range f.until {
		all = append(all, portsnare.Friend{Source: p.source, Port: p.port, Until: until})
	}
	slices.SortFunc(all, func(a, b portsnare.Friend) int {
		return cmp.Or(netip.Prefix.Compare(a.Source, b.Source), cmp.Compare(a.Port.Number, b.Port.Number))
	})
	return all
}

// shrink forgets those for whom there is no room.
func (f *friends) shrink(hidden portsnare.PortSet) {
	if len(f.until) <= maxFriends {
		return
	}
	public := func(p pair) int {
		if hidden.Has(p.port) {
			return 0
		}
		return 1
	}
	best := slices.SortedFunc(maps.Keys(f.until), func(a, b pair) int {
		return cmp.Or(cmp.Compare(public(a), public(b)), f.until[b].Compare(f.until[a]))
	})
	for _, p := range best[maxFriends:] {
		delete(f.until, p)
	}
}

// stale reports whether what is on disk is worth replacing.
func (f *friends) stale() bool {
	return !maps.EqualFunc(f.until, f.saved, func(now, then time.Time) bool { return now.Sub(then) < staleFriend })
}

// restoreFriends takes up the friends on disk.
func (a *Agent) restoreFriends() {
	var saved savedFriends
	plain, err := load(a.config.Dir, friendsFile, &saved, &saved.Friends)
	a.unusable(msgFriendsUnread, err)
	now, by := a.clock.now(), a.restored(saved.Saved, plain)
	for i, friend := range saved.Friends {
		saved.Friends[i].Until = earlier(friend.Until.Add(by), now.Add(portsnare.FriendTime))
	}
	a.friends.restore(saved.Friends)
	if plain || err != nil || a.rebooted(saved.Saved) {
		a.friends.saved = nil
	}
}

// remember asks the kernel for its friends and saves them if there is news. It
// returns after how long it wants to be called again: a look at many takes long,
// and shall not keep the host busy.
func (a *Agent) remember(ctx context.Context) time.Duration {
	a.saveMoment()
	begin := time.Now()
	known, err := a.config.Backend.Friends(ctx)
	again := max(a.config.Remember, min(lookShare*time.Since(begin), maxLook))
	if a.trouble(msgNoFriends, err); err != nil {
		return again
	}
	shift := a.clock.shift()
	for i := range known {
		known[i].Until = known[i].Until.UTC().Add(-shift)
	}
	a.friends.learn(known)
	if a.order != nil {
		a.friends.shrink(a.order.Hidden())
	}
	now := a.clock.now()
	current := a.friends.current(now)
	if now.Before(a.friends.saveFrom) || !a.friends.stale() {
		return again
	}
	saved, ahead := a.moment()
	for i := range current {
		current[i].Until = current[i].Until.Add(ahead).Truncate(time.Second)
	}
	size, err := a.store.save(friendsFile, savedFriends{Saved: saved, Friends: current})
	a.friends.saveFrom = now.Add(pace(size, friendRate))
	if a.trouble(msgFriendsUnsaved, err); err == nil {
		a.friends.saved = maps.Clone(a.friends.until)
	}
	return again
}
