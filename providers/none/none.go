// Package none stands where there is no cloud firewall: every port is open, and
// only the hosts filter.
//
// Nothing can be opened or closed there, so whatever is asked for is so at once.
// The firewall remembers what it was asked for and tells it as its rules, and a
// rotation goes its way: armed on the hosts, opened, verified, closed, disarmed.
// The memory ends with the process; the first look afterwards finds nothing
// standing and asks for it again, which costs nothing.
package none

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
)

// unlimited is so many rules that all ports of both protocols, one by one and for
// both IP families, are not more.
const unlimited = 2 * 2 * 65535

// Firewall is the firewall that is not there. It may be used from several
// goroutines.
type Firewall struct {
	mark   portsnare.Mark
	former []portsnare.Mark

	mu    sync.Mutex // guards what follows
	rules []portsnare.Rule
	last  int // the number of the newest rule
}

// New returns a firewall that was asked for nothing yet. Rules that bear a former
// mark could be closed; as the memory ends with the process, there are none.
func New(mark portsnare.Mark, former ...portsnare.Mark) *Firewall {
	return &Firewall{mark: mark, former: former}
}

// CallTimeout returns 0: nothing is on its way anywhere.
func (f *Firewall) CallTimeout() time.Duration { return 0 }

// Rules returns what was asked for. There are no rules of others. The only error
// is that of ctx.
func (f *Firewall) Rules(ctx context.Context) ([]portsnare.Rule, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rules), context.Cause(ctx)
}

// Limits returns a limit that no trap set reaches.
func (f *Firewall) Limits(ctx context.Context) (portsnare.Limits, error) {
	return portsnare.Limits{Rules: unlimited, InPlace: true}, context.Cause(ctx)
}

// Apply remembers what a plan asks for. It calls nobody; what it tells as one
// write is that its memory changed.
//
// A plan that cannot be, or would close a rule without our mark, is
// [portsnare.Invalid] and changes nothing.
func (f *Firewall) Apply(ctx context.Context, plan portsnare.Plan) (portsnare.Done, error) {
	var done portsnare.Done
	if err := context.Cause(ctx); err != nil {
		return done, err
	}
	if err := f.check(plan); err != nil {
		return done, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range plan.Open {
		if f.open(o) {
			done.Opened = append(done.Opened, o)
		}
	}
	for _, r := range plan.Close {
		if i := slices.Index(f.rules, r); i >= 0 {
			f.rules = slices.Delete(f.rules, i, i+1)
			done.Closed = append(done.Closed, r)
		}
	}
	if len(done.Opened)+len(done.Closed) > 0 {
		done.Writes = 1
	}
	return done, nil
}

// Writes returns 0: nobody is called.
func (f *Firewall) Writes(portsnare.Plan) int { return 0 }

// open reports whether o was not open before. f.mu is held.
func (f *Firewall) open(o portsnare.Opening) bool {
	if slices.ContainsFunc(f.rules, func(r portsnare.Rule) bool { return r.Opening == o }) {
		return false
	}
	f.remember(o)
	return true
}

func (f *Firewall) remember(o portsnare.Opening) string {
	f.last++
	id := strconv.Itoa(f.last)
	f.rules = append(f.rules, portsnare.Rule{ID: id, Opening: o, Mark: f.mark})
	return id
}

// check holds plans to what every other provider demands of them, so that one
// that is wrong is found here too.
func (f *Firewall) check(plan portsnare.Plan) error {
	if err := plan.Check(append([]portsnare.Mark{f.mark}, f.former...)...); err != nil {
		return failure.New(portsnare.Invalid, "none: carry out a plan", "", failure.Local(err), "")
	}
	return nil
}
