package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// span is two durations, the shorter one first.
type span struct{ low, high time.Duration }

// duration is a single duration of whole seconds between two bounds.
func duration(low, high time.Duration) form[time.Duration] {
	return formOf(wantDuration("", low, high), func(s string) (time.Duration, bool) {
		d, ok := parseDuration(s)
		return d, ok && low <= d && d <= high
	})
}

// durations is two durations with "-" or ".." between them, or a single one that
// stands for both. Messages show the separator given.
func durations(separator string, low, high time.Duration) form[span] {
	want := wantDuration(fmt.Sprintf(" or two such as 10m%s1h", separator), low, high)
	return formOf(want, func(s string) (span, bool) {
		first, last, two := strings.Cut(s, "..")
		if !two {
			first, last, two = strings.Cut(s, "-")
		}
		if !two {
			last = first
		}
		from, okFrom := parseDuration(first)
		to, okTo := parseDuration(last)
		return span{from, to}, okFrom && okTo && low <= from && from <= to && to <= high
	})
}

func wantDuration(more string, low, high time.Duration) string {
	return fmt.Sprintf("a duration%s, in whole seconds, %s to %s", more, formatDuration(low), formatDuration(high))
}

// parseDuration reads what [time.ParseDuration] does, whole seconds only, with
// days before it if need be: "90s", "1h30m", "7d", "1d12h".
func parseDuration(s string) (time.Duration, bool) {
	var total time.Duration
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 15)
		if err != nil {
			return 0, false
		}
		if total = time.Duration(n) * day; rest == "" {
			return total, true
		}
		s = rest
	}
	d, err := time.ParseDuration(s)
	return total + d, err == nil && d >= 0 && d%time.Second == 0
}

// formatDuration returns the shortest text that parseDuration reads as d, with
// days from two on.
func formatDuration(d time.Duration) string {
	var days string
	if d >= 2*day {
		days = strconv.FormatInt(int64(d/day), 10) + "d"
		if d %= day; d == 0 {
			return days
		}
	}
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return days + text
}
