package kernel

import (
	"net/netip"
	"time"

	"github.com/portsnare/portsnare"
)

// LogHit and LogBan are the prefixes under which the kernel program logs the
// two things that an agent has to hear of.
const (
	LogHit = "portsnare hit"
	LogBan = "portsnare ban"
)

// Sighting is one packet that the kernel program logged: a hit, or the hit
// that made a ban.
type Sighting struct {
	Ban    bool // the kernel has shut the source out, on this very packet
	Source netip.Addr
	Port   portsnare.Port
	At     time.Time
}
