package simulate

import (
	"cmp"
	"slices"

	"github.com/portsnare/portsnare"
)

// Rules are what happens to a source that meets traps. Times are seconds.
type Rules struct {
	Policy portsnare.Policy
	// Alarm is at how many sources that met a firing trap within alarmWindow
	// unknown ones are kept off the hidden ports; 0: never.
	Alarm int
	// Delay drops the first SYN to a hidden port, and accepts its repetition
	// unless the source met a firing trap meanwhile.
	Delay bool
}

// alarmWindow is for how long a source counts towards an alarm, in seconds.
const alarmWindow = 600

// probe is one port of one scan: when, by whom, and what stands there.
type probe struct {
	at     float64 // seconds from the scan's begin
	source int
	fires  bool // a trap that can fire, else bait
}

// bans is the ladder of one source: strikes, and the ban that they led to.
type bans struct {
	rules   Rules
	strikes []float64 // no more than K-1; each counts for the window
	until   float64   // end of the ban
	count   int
}

// hit takes one hit; hits come in the order of time.
func (b *bans) hit(p probe) {
	if p.at < b.until {
		return
	}
	window := b.rules.Policy.Window.Seconds()
	for len(b.strikes) > 0 && b.strikes[0] <= p.at-window {
		b.strikes = b.strikes[1:]
	}
	switch {
	case len(b.strikes) < b.rules.Policy.Strikes-1:
		b.strikes = append(b.strikes, p.at)
	case p.fires:
		b.count++
		b.until = p.at + b.rules.Policy.BanTime(b.count).Seconds()
	}
}

// table is what of a trial is played: the hits on all traps, in any order.
type table struct {
	rules Rules
	hits  []probe
	own   []probe // scratch
}

// reaches reports whether a probe of the hidden port gets an answer; repeat is
// after how long the scanner repeats a probe that stays silent, 0 for never.
func (t *table) reaches(p probe, repeat float64) bool {
	if t.rules.Delay {
		if repeat == 0 || t.struck(p.source, p.at, p.at+repeat) {
			return false
		}
		p.at += repeat
	}
	return !t.banned(p) && !t.alarmed(p.at)
}

func (t *table) struck(source int, from, to float64) bool {
	return slices.ContainsFunc(t.hits, func(h probe) bool {
		return h.source == source && h.fires && from < h.at && h.at <= to
	})
}

func (t *table) banned(p probe) bool {
	t.own = t.own[:0]
	for _, h := range t.hits {
		if h.source == p.source && h.at < p.at {
			t.own = append(t.own, h)
		}
	}
	slices.SortFunc(t.own, func(a, b probe) int { return cmp.Compare(a.at, b.at) })
	b := bans{rules: t.rules}
	for _, h := range t.own {
		b.hit(h)
	}
	return p.at < b.until
}

func (t *table) alarmed(at float64) bool {
	if t.rules.Alarm == 0 {
		return false
	}
	var sources []int
	for _, h := range t.hits {
		if h.fires && h.at < at && h.at > at-alarmWindow && !slices.Contains(sources, h.source) {
			if sources = append(sources, h.source); len(sources) == t.rules.Alarm {
				return true
			}
		}
	}
	return false
}
