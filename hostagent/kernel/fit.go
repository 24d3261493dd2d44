package kernel

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/portsnare/portsnare"
)

// precision of the times that the tools of the kernel give out, in whole seconds.
const precision = 2 * time.Second

// Reaches reports whether an entry that ends at until lasts to then, as exactly as
// the kernel tells its times.
func Reaches(until, then time.Time) bool { return !until.Add(precision).Before(then) }

// Whole returns the seconds from now until then, rounded up, and no more than the
// kernel counts.
func Whole(until, now time.Time) int64 {
	left := min(until.Sub(now), portsnare.MaxTimeout)
	return int64((left + time.Second - 1) / time.Second)
}

// Spares are how much of the room in a table to leave free for what the kernel
// itself adds meanwhile, for one attempt after the other: an entry without room
// fails the whole change.
var Spares = []int{0, 1024, MaxFriends}

// FitBans returns the wanted bans that the kernel lacks or ends too early, those
// that end last first, and no more of each family than there is room for beside
// those that stand, less spare. Left are the others. Bans that are over, and those
// of allowed sources, are neither.
func FitBans(wanted []portsnare.Ban, stand map[netip.Prefix]time.Time, allow []netip.Prefix, now time.Time, spare int) (fit, left []portsnare.Ban) {
	var room [Families]int
	for i := range room {
		room[i] = MaxBans - spare
	}
	for source := range stand {
		room[FamilyOf(source.Addr())]--
	}
	for _, ban := range latest(wanted) {
		until, stands := stand[ban.Source]
		if !ban.Until.After(now) || Covered(ban.Source, allow) || stands && Reaches(until, HeldUntil(ban.Until, now)) {
			continue
		}
		family := FamilyOf(ban.Source.Addr())
		if !stands && room[family] <= 0 {
			left = append(left, ban)
			continue
		}
		if !stands {
			room[family]--
		}
		fit = append(fit, ban)
	}
	return fit, left
}

// latest returns the bans, those that end last first, and of each source one.
func latest(bans []portsnare.Ban) []portsnare.Ban {
	bans = slices.SortedFunc(slices.Values(bans), func(a, b portsnare.Ban) int {
		return cmp.Or(b.Until.Compare(a.Until), a.Source.Compare(b.Source))
	})
	met := make(map[netip.Prefix]bool, len(bans))
	return slices.DeleteFunc(bans, func(b portsnare.Ban) bool {
		again := met[b.Source]
		met[b.Source] = true
		return again
	})
}

// NoRoom returns an error of kind [portsnare.LimitExceeded] that says how many
// bans have no room, and names one; nil if there are none.
func NoRoom(left []portsnare.Ban) error {
	if len(left) == 0 {
		return nil
	}
	var count [Families]int
	for _, ban := range left {
		count[FamilyOf(ban.Source.Addr())]++
	}
	var counts []string
	for i, n := range count {
		if n > 0 {
			counts = append(counts, fmt.Sprintf("%d of %s", n, FamilyNames[i]))
		}
	}
	return &portsnare.Error{
		Kind: portsnare.LimitExceeded, Op: "ban", Subject: left[0].Source.String(),
		Err:  fmt.Errorf("the kernel holds %d bans of each family and has no room for %s", MaxBans, strings.Join(counts, " and ")),
		Hint: "bans end by themselves; a shorter policy.ban makes room earlier",
	}
}

// Pair is what makes a [portsnare.Friend] one, without the time.
type Pair struct {
	Source netip.Prefix
	Port   portsnare.Port
}

// Compare orders pairs by source and port.
func (p Pair) Compare(other Pair) int {
	return cmp.Or(
		p.Source.Compare(other.Source),
		cmp.Compare(p.Port.Protocol, other.Port.Protocol),
		cmp.Compare(p.Port.Number, other.Port.Number),
	)
}

// PairOf returns the pair of a friend.
func PairOf(f portsnare.Friend) Pair { return Pair{f.Source, f.Port} }

// Known are the friends that stand in the kernel.
type Known struct {
	Until map[Pair]time.Time
	Crowd [Families]int // how many of them are friends of public ports
}

// FitFriends returns the wanted friends that the kernel lacks or ends too early,
// those that end last first and as many as there is room for, less spare. Those of
// public ports need room in the crowd as well.
func FitFriends(wanted []portsnare.Friend, known Known, public portsnare.PortSet, now time.Time, spare int) (fit []portsnare.Friend) {
	var room, crowd [Families]int
	for i := range room {
		room[i], crowd[i] = MaxFriends-spare, MaxCrowd-spare-known.Crowd[i]
	}
	for pair := range known.Until {
		room[FamilyOf(pair.Source.Addr())]--
	}
	wanted = slices.SortedFunc(slices.Values(wanted), func(a, b portsnare.Friend) int {
		return cmp.Or(b.Until.Compare(a.Until), PairOf(a).Compare(PairOf(b)))
	})
	met := make(map[Pair]bool, len(wanted))
	for _, f := range wanted {
		until, stands := known.Until[PairOf(f)]
		if met[PairOf(f)] || !f.Until.After(now) || stands && Reaches(until, HeldUntil(f.Until, now)) {
			continue
		}
		met[PairOf(f)] = true
		family, isPublic := FamilyOf(f.Source.Addr()), public.Has(f.Port)
		if !stands && (room[family] <= 0 || isPublic && crowd[family] <= 0) {
			continue
		}
		if !stands {
			room[family]--
		}
		if !stands && isPublic {
			crowd[family]--
		}
		fit = append(fit, f)
	}
	return fit
}

// Friends returns the friends that stand, sorted by source and port.
func (k Known) Friends() []portsnare.Friend {
	friends := make([]portsnare.Friend, 0, len(k.Until))
	for pair, until := range k.Until {
		friends = append(friends, portsnare.Friend{Source: pair.Source, Port: pair.Port, Until: until})
	}
	slices.SortFunc(friends, func(a, b portsnare.Friend) int { return PairOf(a).Compare(PairOf(b)) })
	return friends
}

// Allowed returns prefixes in the form in which the kernel can hold them: masked,
// of their true family, sorted, none within another.
func Allowed(prefixes []netip.Prefix) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range prefixes {
		if addr := p.Addr(); addr.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
		}
		all = append(all, p.Masked())
	}
	slices.SortFunc(all, netip.Prefix.Compare) // the wider first
	var apart []netip.Prefix
	for _, p := range all {
		if !Covered(p, apart) {
			apart = append(apart, p)
		}
	}
	return apart
}

// Impose returns the bans that are to be set as they are, whatever stands, and those
// for which there is no room beside that, less spare. Of two bans of one source the
// last counts. Bans that are over, and those of allowed sources, are neither.
func Impose(bans []portsnare.Ban, stand map[netip.Prefix]time.Time, allow []netip.Prefix, now time.Time, spare int) (fit, left []portsnare.Ban) {
	last := make(map[netip.Prefix]portsnare.Ban, len(bans))
	for _, ban := range bans {
		last[ban.Source] = ban
	}
	var fresh []portsnare.Ban
	for _, ban := range last {
		switch _, stands := stand[ban.Source]; {
		case !ban.Until.After(now) || Covered(ban.Source, allow):
		case stands:
			fit = append(fit, ban)
		default:
			fresh = append(fresh, ban)
		}
	}
	fresh, left = FitBans(fresh, stand, allow, now, spare)
	return append(latest(fit), fresh...), left
}
