package portsnare

import "time"

// The bounds of a [Policy].
const (
	MaxStrikes = 8
	// MaxTimeout is the longest time-out that the kernel's sets hold
	// (ipset 7.17: 2,147,483 s, UINT_MAX milliseconds / 2).
	MaxTimeout = 2147483 * time.Second
)

// Policy says when a source is banned and for how long.
type Policy struct {
	Strikes int           `json:"strikes"` // K: distinct traps that make a ban, 1 to 8
	Window  time.Duration `json:"window"`  // W: within this time; whole seconds
	BanMin  time.Duration `json:"ban_min"` // the first ban; whole seconds
	BanMax  time.Duration `json:"ban_max"` // the longest, however often repeated
	// Delay: the first SYN of an unknown source to a hidden port is dropped, and
	// its retransmit admitted unless the source has met a trap meanwhile.
	Delay bool `json:"delay,omitempty"`
}

// DefaultPolicy is three strikes within an hour, and bans of 10 minutes that
// double up to a day.
func DefaultPolicy() Policy {
	return Policy{Strikes: 3, Window: time.Hour, BanMin: 10 * time.Minute, BanMax: 24 * time.Hour}
}

// Validate returns an error of kind [Invalid] that names the first value out of
// its range.
func (p Policy) Validate() error {
	switch {
	case p.Strikes < 1 || p.Strikes > MaxStrikes:
		return invalidf("strikes %d: want 1 to %d", p.Strikes, MaxStrikes)
	case !timeoutOK(p.Window):
		return invalidf("window %s: want whole seconds, 1s to %s", p.Window, MaxTimeout)
	case !timeoutOK(p.BanMin):
		return invalidf("ban %s: want whole seconds, 1s to %s", p.BanMin, MaxTimeout)
	case !timeoutOK(p.BanMax):
		return invalidf("longest ban %s: want whole seconds, 1s to %s", p.BanMax, MaxTimeout)
	case p.BanMax < p.BanMin:
		return invalidf("longest ban %s: want at least the first, %s", p.BanMax, p.BanMin)
	}
	return nil
}

func timeoutOK(d time.Duration) bool {
	return d >= time.Second && d <= MaxTimeout && d%time.Second == 0
}

// BanTime returns how long the n-th ban of one source lasts, n from 1: BanMin,
// doubled each time, at most BanMax.
func (p Policy) BanTime(n int) time.Duration {
	d := p.BanMin
	for ; n > 1 && d < p.BanMax; n-- {
		d *= 2
	}
	return min(d, p.BanMax)
}
