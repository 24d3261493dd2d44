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

// mostFriends bounds what is saved. Friends of hidden ports are kept before those
// of public ones, and the freshest first.
const mostFriends = 10_000

// stopTime is how long the last look at the friends may take.
const stopTime = 5 * time.Second

// staleFriend is how much longer than on disk a friend may stay one before that
// is worth a write: his time begins anew with every conversation.
const staleFriend = time.Hour

// pair is what makes a [portsnare.Friend] one, without the time.
type pair struct {
	source source
	port   portsnare.Port
}

// friends are the friends known: what the kernel knew when it was asked last,
// and what was known before and is not over.
type friends struct {
	until map[pair]time.Time
	saved map[pair]time.Time // as they are on disk
	lost  bool               // the kernel may not know them
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
	if len(f.until) <= mostFriends {
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
	for _, p := range best[mostFriends:] {
		delete(f.until, p)
	}
}

// stale reports whether what is on disk is worth replacing.
func (f *friends) stale() bool {
	return !maps.EqualFunc(f.until, f.saved, func(now, then time.Time) bool { return now.Sub(then) < staleFriend })
}

// rememberAtLast remembers although the agent is about to end.
func (a *Agent) rememberAtLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	a.remember(ctx)
}

// remember asks the kernel for its friends and saves them.
func (a *Agent) remember(ctx context.Context) {
	known, err := a.config.Backend.Friends(ctx)
	if a.trouble(msgNoFriends, err); err != nil {
		return
	}
	a.friends.learn(known)
	if a.order != nil {
		a.friends.shrink(a.order.Hidden())
	}
	current := a.friends.current(time.Now())
	if !a.friends.stale() {
		return
	}
	err = saveFriends(a.config.Dir, current)
	if a.trouble(msgFriendsUnsaved, err); err == nil {
		a.friends.saved = maps.Clone(a.friends.until)
	}
}

// measure asks which memories of the kernel are full, and logs each once.
func (a *Agent) measure(ctx context.Context) {
	full, err := a.config.Backend.Full(ctx)
	if a.trouble(msgNotMeasured, err); err != nil {
		return
	}
	for _, memory := range full {
		if !slices.Contains(a.full, memory) {
			a.config.Logger.Warn(msgFull, keyMemory, memory)
		}
	}
	a.full = full
}
