package portsnare

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Hit is a new connection attempt from a source to a trap.
type Hit struct {
	Host       string     `json:"host"`
	Source     netip.Addr `json:"source"`
	Port       Port       `json:"port"`
	Class      Class      `json:"class"`
	Generation Generation `json:"generation"`
	At         time.Time  `json:"at"`
}

// Ban shuts a source out of a host until a stated time, for stated reasons.
type Ban struct {
	Host   string       `json:"host"`
	Source netip.Prefix `json:"source"` // see BanPrefix
	Since  time.Time    `json:"since"`
	Until  time.Time    `json:"until"`
	Count  int          `json:"count"` // this is the source's n-th ban, from 1
	Hits   []Hit        `json:"hits"`  // the strikes that led to it, oldest first
}

// FriendTime is how long a source stays a friend after its last conversation.
const FriendTime = 21 * 24 * time.Hour

// Friend is a source that has had a real conversation on a protected port: data
// went both ways, which nobody can forge. A ban never cuts a friend off the
// port of which it is a friend.
type Friend struct {
	Source netip.Prefix `json:"source"` // see BanPrefix
	Port   Port         `json:"port"`
	Until  time.Time    `json:"until"`
}

// BanPrefix returns what is banned when addr misbehaves: an IPv4 address alone,
// of IPv6 the whole /64, which is what one customer usually holds.
func BanPrefix(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// CheckSource returns an error of kind [Invalid] unless source is what
// [BanPrefix] makes of an address.
func CheckSource(source netip.Prefix) error {
	if source.IsValid() && source == BanPrefix(source.Addr()) {
		return nil
	}
	return invalidf("source %s: want an IPv4 address or an IPv6 /64", source)
}

// String explains the ban in one line.
func (b Ban) String() string {
	reasons := make([]string, len(b.Hits))
	for i, h := range b.Hits {
		reasons[i] = fmt.Sprintf("%s (%s, generation %s) at %s", h.Port, h.Class, h.Generation, h.At.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s banned on %s from %s until %s: %s", b.Source, b.Host,
		b.Since.UTC().Format(time.RFC3339), b.Until.UTC().Format(time.RFC3339), strings.Join(reasons, ", "))
}
