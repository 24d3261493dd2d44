package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Rotation is when a group rotates: as Cron says, or else each time after a
// uniformly random duration from Min to Max.
type Rotation struct {
	Min, Max time.Duration
	Cron     string // five fields or @hourly and the like, in the controller's time zone
}

// String returns the form in which the configuration has it.
func (r Rotation) String() string {
	switch {
	case r.Cron != "":
		return r.Cron
	case r.Min == r.Max:
		return formatDuration(r.Min)
	}
	return formatDuration(r.Min) + "-" + formatDuration(r.Max)
}

// The bounds of a rotation. Twice the grace time and one report fit into the
// shortest; a trap set that has lived for a year is no secret.
const (
	minRotation = 10 * time.Second
	maxRotation = 365 * day
)

var rotationSpan = durations("-", minRotation, maxRotation)

const orCron = `, or a cron line such as "*/15 * * * *"`

var rotation = form[Rotation]{rotationSpan.want + orCron, parseRotation}

func parseRotation(s string) (Rotation, error) {
	if strings.HasPrefix(s, "@") || len(strings.Fields(s)) > 3 {
		if err := checkCron(s); err != nil {
			return Rotation{}, fmt.Errorf("cron line %s: %w", shown(s), err)
		}
		return Rotation{Cron: s}, nil
	}
	both, err := rotationSpan.parse(s)
	if err != nil {
		return Rotation{}, fmt.Errorf("%w%s", err, orCron)
	}
	return Rotation{Min: both.low, Max: both.high}, nil
}

// checkCron accepts what cron's standard parser does, save two things: a time
// zone, which is not in the line but on the machine, and @every, which is a
// duration.
func checkCron(s string) error {
	switch {
	case strings.Contains(s, "="):
		return errors.New("want none with a time zone: the controller's own counts")
	case strings.HasPrefix(s, "@every"):
		return errors.New("want the duration alone")
	}
	schedule, err := cron.ParseStandard(s)
	if err != nil { // its text is about Go
		return errors.New("want minute, hour, day of the month, month and day of the week, or @hourly, @daily, @weekly")
	}
	if schedule.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return errors.New("want a day that comes")
	}
	return nil
}
