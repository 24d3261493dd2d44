package link

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/portsnare/portsnare"
)

const (
	// maxEnded bounds the sources in one message whose bans have ended; 25 bytes each.
	maxEnded = 400
	// maxUpdate bounds the bans of one message, in bytes, whatever is in them.
	maxUpdate = 56 << 10
)

// banList is the list of bans in force as the controller is to know it, and what
// of that it has yet to be told. Nothing falls out of it: it is as long as the list
// that the agent keeps, which the kernel bounds.
type banList struct {
	held   map[netip.Prefix]portsnare.Ban
	queue  []netip.Prefix        // to be told, in this order; those not held any more are skipped
	queued map[netip.Prefix]bool // those in queue
	ended  map[netip.Prefix]bool // over, which is to be told
	number uint64                // of the update made last

	// The whole list is told like this: the next update has reset set, and the
	// first left sources in the queue are the list.
	reset bool
	left  int
	asked bool // for the whole list, while it was being told
}

func newBanList() banList {
	return banList{held: map[netip.Prefix]portsnare.Ban{}, queued: map[netip.Prefix]bool{}, ended: map[netip.Prefix]bool{}}
}

// put enters a ban. One that is known already is no news.
func (b *banList) put(ban portsnare.Ban) {
	if known, ok := b.held[ban.Source]; ok && known.Count == ban.Count && known.Since.Equal(ban.Since) && known.Until.Equal(ban.Until) {
		return
	}
	b.held[ban.Source] = ban
	delete(b.ended, ban.Source)
	if !b.queued[ban.Source] {
		b.queued[ban.Source] = true
		b.queue = append(b.queue, ban.Source)
	}
}

func (b *banList) drop(source netip.Prefix) {
	if _, ok := b.held[source]; ok {
		delete(b.held, source)
		b.ended[source] = true
	}
}

// begin has the whole list told from its beginning.
func (b *banList) begin() {
	b.queue = slices.SortedFunc(maps.Keys(b.held), netip.Prefix.Compare)
	clear(b.queued)
	for _, source := range b.queue {
		b.queued[source] = true
	}
	b.ended = map[netip.Prefix]bool{}
	b.left, b.reset, b.asked = len(b.queue), true, false
}

// ask has the whole list told. While it is being told it is told to its end first:
// whoever asks faster than it can be told would never see that end.
func (b *banList) ask() {
	if b.reset || b.left > 0 {
		b.asked = true
		return
	}
	b.begin()
}

// next returns the next update, if there is any news.
func (b *banList) next() (update portsnare.BanUpdate, news bool) {
	update.Reset, b.reset = b.reset, false
	listing := b.left > 0
	update.Bans = b.pop()
	update.Left = b.left
	for source := range b.ended {
		if len(update.Ended) == maxEnded {
			break
		}
		update.Ended = append(update.Ended, source)
		delete(b.ended, source)
	}
	slices.SortFunc(update.Ended, netip.Prefix.Compare)
	if b.asked && b.left == 0 {
		b.begin()
	}
	if !update.Reset && !listing && len(update.Bans) == 0 && len(update.Ended) == 0 {
		return update, false
	}
	b.number++
	update.Number = b.number
	return update, true
}

// pop takes from the queue what fits into a message, of the list alone while that
// is being told.
func (b *banList) pop() (bans []portsnare.Ban) {
	listing, size := b.left > 0, 0
	for len(b.queue) > 0 && len(bans) < portsnare.MaxBansPerMessage && (!listing || b.left > 0) {
		source := b.queue[0]
		ban, held := b.held[source]
		if held {
			if size += sizeOf(ban); size > maxUpdate {
				break
			}
			bans = append(bans, ban)
		}
		b.queue = b.queue[1:]
		delete(b.queued, source)
		b.left = max(0, b.left-1)
	}
	if len(b.queue) == 0 {
		b.queue = nil // gives the memory of a storm back
	}
	return bans
}

// sizeOf returns how many bytes a ban takes in a message, at most.
func sizeOf(ban portsnare.Ban) int {
	const itself, hit = 250, 210
	return itself + len(ban.Host) + len(ban.Hits)*(hit+len(ban.Host))
}
