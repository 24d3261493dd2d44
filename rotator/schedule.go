package rotator

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when a group rotates: after a random time from Min to Max, or
// at the times of a cron line where Cron is not empty. A time that comes while no
// controller runs is made up for, once, when one does again; a restart begins no
// interval anew.
type Schedule struct {
	Min, Max time.Duration
	// Cron has five fields, in local time. A line that names hours means each of
	// them once a day, also on the days on which clocks change: at the first of two,
	// and right behind the gap where there is none. One whose hour begins with "*"
	// means equal distances, whatever the clocks show.
	Cron string
}

func (s Schedule) check() error {
	if s.Cron == "" {
		if s.Min <= 0 || s.Max < s.Min {
			return fmt.Errorf("from %s to %s is no interval", s.Min, s.Max)
		}
		return nil
	}
	_, err := cron.ParseStandard(s.Cron)
	return err
}

// next returns when the rotation after one at the time rotated is due. It keeps to
// planned, where that was planned for this rotation and this schedule: a moment
// that is drawn again and again is not random.
func (s Schedule) next(rotated, planned time.Time, rng *rand.Rand) time.Time {
	if s.Cron != "" {
		return s.nextByCron(rotated.Local())
	}
	if first, last := rotated.Add(s.Min), rotated.Add(s.Max); !planned.Before(first) && !planned.After(last) {
		return planned
	}
	return rotated.Add(s.Min + time.Duration(rng.Int64N(int64(s.Max-s.Min)+1))).Round(0)
}

// nextByCron returns the first time behind after, in its location, that the line
// means.
func (s Schedule) nextByCron(after time.Time) time.Time {
	line, err := cron.ParseStandard(s.Cron)
	if err != nil { // New refuses it
		return time.Time{}
	}
	if s.everyHour() {
		return line.Next(after)
	}
	wall := onWall(after)
	for range 1000 { // two of a changing clock at most are not behind after
		wall = line.Next(wall)
		if at := offWall(wall, after.Location()); wall.IsZero() || at.After(after) {
			return at
		}
	}
	return time.Time{}
}

// everyHour reports whether the line means distances and no times of the day.
func (s Schedule) everyHour() bool {
	fields := strings.Fields(s.Cron)
	return s.Cron == "@hourly" || len(fields) == 5 && strings.HasPrefix(fields[1], "*")
}

// onWall returns what a clock on the wall shows at t, as a time that knows no
// daylight saving.
func onWall(t time.Time) time.Time { return in(t, time.UTC) }

func in(t time.Time, where *time.Location) time.Time {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	return time.Date(year, month, day, hour, minute, second, t.Nanosecond(), where)
}

// offWall returns when clocks in a place first show wall, or skip it.
func offWall(wall time.Time, where *time.Location) time.Time {
	if wall.IsZero() {
		return wall
	}
	t := in(wall, where)
	begin, end := t.ZoneBounds()
	switch shown := onWall(t); {
	case shown.After(wall): // skipped, and t lies behind the gap
		return begin
	case shown.Before(wall):
		return end
	}
	if begin.IsZero() {
		return t
	}
	_, offset := begin.Add(-time.Second).Zone() // before the clocks last changed
	if earlier := wall.Add(-time.Duration(offset) * time.Second).In(where); earlier.Before(begin) {
		return earlier
	}
	return t
}
