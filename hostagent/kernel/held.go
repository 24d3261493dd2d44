package kernel

import (
	"net/netip"
	"slices"
	"time"

	"github.com/portsnare/portsnare"
)

// HeldUntil returns until when an entry of the kernel that is wanted until then
// must last now. One that is longer than the kernel counts is renewed half-way, by
// whoever looks then.
func HeldUntil(until, now time.Time) time.Time {
	if until.After(now.Add(portsnare.MaxTimeout)) {
		return now.Add(portsnare.MaxTimeout / 2)
	}
	return until
}

// SameBans reports whether two lists ban the same sources, in the same order and
// until the same times.
func SameBans(a, b []portsnare.Ban) bool {
	return slices.EqualFunc(a, b, func(a, b portsnare.Ban) bool { return a.Source == b.Source && a.Until.Equal(b.Until) })
}

// SameFriends reports whether two lists hold the same friends, in the same order
// and until the same times.
func SameFriends(a, b []portsnare.Friend) bool {
	return slices.EqualFunc(a, b, func(a, b portsnare.Friend) bool {
		return a.Source == b.Source && a.Port == b.Port && a.Until.Equal(b.Until)
	})
}

// Covered reports whether one of the prefixes takes in all of source, as an allow
// list does whose sources are never banned.
func Covered(source netip.Prefix, by []netip.Prefix) bool {
	return slices.ContainsFunc(by, func(p netip.Prefix) bool {
		return p.Bits() <= source.Bits() && p.Contains(source.Addr())
	})
}
