package hostagent

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare"
)

// clock is the agent's own time. It begins with what the wall clock says when the
// agent starts, and runs evenly from then on, so no jump of the wall clock makes a
// ban longer or shorter. All that the agent remembers is in its own time; the
// kernel, the controller and the disk are told wall time.
type clock struct {
	wall  func() time.Time // Config.Now
	begin time.Time        // own time at the start
	start time.Time        // the same moment, for time.Since
	ahead time.Duration    // how far the wall clock is ahead of the own time
}

// step is how far the wall clock may move away before that is taken for a jump.
// Below it times stay equal from one look to the next.
const step = 500 * time.Millisecond

func newClock(wall func() time.Time) *clock {
	return &clock{wall: wall, begin: wall().UTC(), start: time.Now()}
}

// now returns the own time.
func (c *clock) now() time.Time { return c.begin.Add(time.Since(c.start)) }

// shift returns how far the wall clock is ahead of the own time now.
func (c *clock) shift() time.Duration {
	if d := c.wall().Round(0).Sub(c.now()); (d - c.ahead).Abs() >= step {
		c.ahead = d
	}
	return c.ahead
}

// out returns what the wall clock calls a moment of the own time.
func (c *clock) out(own time.Time) time.Time { return own.Add(c.shift()) }

// in is the reverse of out.
func (c *clock) in(wall time.Time) time.Time { return wall.UTC().Add(-c.shift()) }

// outBan returns a ban of the own time in wall time.
func (c *clock) outBan(ban portsnare.Ban) portsnare.Ban { return moveBan(ban, c.shift()) }

// moveBan moves all times of a ban.
func moveBan(ban portsnare.Ban, by time.Duration) portsnare.Ban {
	ban.Since, ban.Until = ban.Since.Add(by), ban.Until.Add(by)
	hits := make([]portsnare.Hit, len(ban.Hits))
	for i, hit := range ban.Hits {
		hit.At = hit.At.Add(by)
		hits[i] = hit
	}
	if ban.Hits = hits; len(hits) == 0 {
		ban.Hits = nil
	}
	return ban
}

// moment is when something was saved. What is saved lasts as long after it was
// read as it would have lasted then, less the time that has surely passed.
type moment struct {
	At   time.Time     `json:"at"`   // by the wall clock
	Boot string        `json:"boot"` // names the run of the kernel
	Up   time.Duration `json:"up"`   // of the kernel
}

// until returns how much time passed from m to a later moment of the same run of
// the kernel, 0 for one of another run.
func (m moment) until(later moment) time.Duration {
	if m.Boot != later.Boot {
		return 0
	}
	return max(0, later.Up-m.Up)
}

// momentEvery is how often the present moment is saved while there are bans: by so
// much a ban may become longer when the power fails.
const momentEvery = 10 * time.Second

// saveMoment saves the present moment, unless that was done just now.
func (a *Agent) saveMoment() {
	now := a.clock.now()
	if len(a.ledger.active) == 0 {
		a.trouble(msgMomentUnsaved, nil)
	}
	if len(a.ledger.active) == 0 || now.Before(a.momentFrom) {
		return
	}
	a.momentFrom = now.Add(momentEvery)
	m, _ := a.moment()
	_, err := a.store.save(momentFile, m)
	a.trouble(msgMomentUnsaved, err)
}

// restoreMoment reads when an agent was last known to run.
func (a *Agent) restoreMoment() {
	var none moment
	_, err := load(a.config.Dir, momentFile, &a.lastMoment, &none)
	a.unusable(msgMomentUnread, err)
}

// moment returns the present one, and by how much the wall time that is saved with
// it is ahead of the own time.
func (a *Agent) moment() (now moment, ahead time.Duration) {
	ahead = a.clock.shift()
	boot, up := a.config.Boot()
	return moment{At: a.clock.now().Add(ahead), Boot: boot, Up: up}, ahead
}

// restored returns by how much the times that were saved at a moment have to be
// moved to become own times. Those of the first version did not say when: plain.
//
// After another boot the time that the host was off does not count. Only the wall
// clock knows of it, and whoever believes a clock that is wrong at boot loses a ban
// or keeps one for weeks.
func (a *Agent) restored(saved moment, plain bool) time.Duration {
	now, ahead := a.moment()
	if plain {
		return -ahead
	}
	passed := saved.until(now)
	if saved.Boot != now.Boot {
		passed = saved.until(a.lastMoment) + now.Up
	}
	return now.At.Add(-ahead - passed).Sub(saved.At)
}

// rebooted reports whether something was saved under another run of the kernel. It
// has to be saved again, for the moment that is saved now tells nothing about then.
func (a *Agent) rebooted(saved moment) bool {
	now, _ := a.moment()
	return saved.Boot != now.Boot
}

// Boot returns a name of this run of the kernel, and for how long it has been up.
// Neither changes with the wall clock.
func Boot() (id string, up time.Duration) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		text = nil // no name: another boot than any other
	}
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return "", 0
	}
	return strings.TrimSpace(string(text)), time.Duration(t.Nano())
}
