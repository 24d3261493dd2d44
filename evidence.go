package portsnare

import "net/netip"

// Bounds of one message of evidence, chosen so that a message stays below
// 64 KiB whatever is in it.
const (
	MaxHitsPerMessage = 200
	MaxBansPerMessage = 40
)

// MaxBansPerHost is how many sources one host can shut out: 65,536 of each IP
// family, what its kernel's sets hold.
const MaxBansPerHost = 2 * 65_536

// HitBatch is what an agent tells of hits, several at once.
type HitBatch struct {
	Host string `json:"host"`
	Hits []Hit  `json:"hits"` // oldest first, at most MaxHitsPerMessage
	Lost int    `json:"lost"` // hits before these that could not be told
}

// BanUpdate is one numbered increment of the bans that are in force on a host.
// All increments of one run of an agent, in the order of their numbers, make the
// whole list. Whoever misses a number asks for it all again; the answer begins
// with a Reset.
type BanUpdate struct {
	Host   string `json:"host"`
	Run    string `json:"run"`             // names the run of the agent; numbers begin with it
	Number uint64 `json:"number"`          // one more than that of the update before, from 1
	Reset  bool   `json:"reset,omitempty"` // all that was known of the host is void
	Left   int    `json:"left,omitempty"`  // bans yet to come until the list is whole again

	Bans  []Ban          `json:"bans,omitempty"`  // begun, or changed; at most MaxBansPerMessage
	Ended []netip.Prefix `json:"ended,omitempty"` // lifted, or over before their time
}
