package rotator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/portsnare/portsnare"
)

// roomMemory is for how long a refusal by the cloud bounds the next draws. It is
// short, since nobody tells when a quota was raised.
const roomMemory = time.Hour

// judge returns why the pending rotation can no longer be carried out, or "". The
// configuration, the firewall and its limits may have changed since it was drawn.
func (r *Rotator) judge(s *state, now standing, limits portsnare.Limits) string {
	p := s.Pending
	switch {
	case r.group.Retired:
		return ""
	case p.Refused:
		return "the cloud has no room for it"
	case p.Drawn != "" && p.Drawn != r.settings():
		return "its settings were changed"
	}
	return r.misfit(p.To, s, now, limits)
}

// misfit returns why the group cannot have a trap set, or "".
func (r *Rotator) misfit(set portsnare.TrapSet, s *state, now standing, limits portsnare.Limits) string {
	ports := set.Ports()
	if taken := ports.Intersect(portsnare.OpenPorts(now.foreign).Union(r.group.Protected).Union(r.group.Avoid)); !taken.Empty() {
		return fmt.Sprintf("%d of its ports can no longer be traps", taken.Len())
	}
	if needed, budget := len(ports.Ranges()), r.budget(s, now, limits); needed > budget {
		return fmt.Sprintf("it needs %d openings and there is room for %d", needed, budget)
	}
	return ""
}

// outdated returns why the present trap set has to be replaced, or "". mending
// says that some of it has to be opened again.
func (r *Rotator) outdated(s *state, now standing, limits portsnare.Limits) string {
	plan := portsnare.Diff(now.rules, r.wanted(s.Current.Ports().Ranges()))
	former := portsnare.OpenPorts(plan.Close).Intersect(now.under(r.formerMarks()...))
	taken := portsnare.OpenPorts(now.foreign).Union(r.group.Protected).Union(r.group.Avoid)
	switch {
	case !s.Current.Ports().Intersect(taken).Empty():
		return "some of its ports can no longer be traps"
	case !former.Empty():
		return "its rules bear a former mark"
	case len(plan.Open) > 0:
		return r.misfit(s.Current, s, now, limits)
	}
	return ""
}

// budget returns how many port ranges may be open at once.
func (r *Rotator) budget(s *state, now standing, limits portsnare.Limits) int {
	budget := limits.Budget(now.foreign, r.group.Sources...)
	if s.Room != nil && time.Since(s.Room.At).Abs() < roomMemory {
		budget = min(budget, s.Room.Ranges)
	}
	return budget
}

// settings names what a trap set is drawn by.
func (r *Rotator) settings() string {
	text, err := json.Marshal([]any{r.group.Traps, r.group.Sources, r.group.Policy.Strikes})
	if err != nil { // none of it is anything that JSON cannot carry
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// refused notes that the cloud had no room for what is pending, so that it is
// given up and what is drawn next is smaller.
func (r *Rotator) refused(s *state, now standing) {
	s.Pending.Refused = true
	if stand := len(now.under(r.group.Mark()).Ranges()); stand >= minRoom {
		s.Room = &room{Ranges: stand, At: time.Now()}
	}
}

// minRoom is the fewest openings that traps can be drawn for. A refusal below it
// teaches nothing: the next attempt tries again in full.
const minRoom = 3
