package providertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/portsnare/portsnare"
)

// flaw is something that a provider may get wrong.
type flaw string

const (
	none            flaw = ""
	touchesOthers   flaw = "touches-others"
	closesProtected flaw = "closes-protected"
	leavesOne       flaw = "leaves-one"
	claimsTooMuch   flaw = "claims-too-much"
	claimsNothing   flaw = "claims-nothing"
	miscounts       flaw = "miscounts"
	opensTwice      flaw = "opens-twice"
	opensUnmarked   flaw = "opens-unmarked"
	oneByOne        flaw = "one-by-one"
	trustsPlans     flaw = "trusts-plans"
	readsNothing    flaw = "reads-nothing"
	deaf            flaw = "deaf"
	hasty           flaw = "hasty"
	opensFirst      flaw = "opens-first"
	dropsWhatIsFull flaw = "drops-what-is-full"
	tellsNoFailure  flaw = "tells-no-failure"
	givesUp         flaw = "gives-up"
	forgetsV6       flaw = "forgets-v6"
	ignoresOwners   flaw = "ignores-owners"
	hidesMarks      flaw = "hides-marks"
	forgetsFormer   flaw = "forgets-former"
	keepsFormer     flaw = "keeps-former"
	tellsPorts      flaw = "tells-ports"
	tellsNothing    flaw = "tells-nothing"
	asksAgain       flaw = "asks-again"
	waitsForEver    flaw = "waits-for-ever"
)

const memoryMark = portsnare.Mark("tokyo/web")

// memory is a cloud firewall, its console and its faults in one: it adds many
// rules in one write and removes many in one.
type memory struct {
	flaw     flaw
	limit    int
	rules    []Standing
	last     int // number of the newest rule
	writes   int
	gone     bool
	troubles Troubles
	past     []Standing
	frozen   int // lists left that show the past
	life     time.Duration
}

func newMemory(f flaw, limit int) *memory {
	if limit == 0 {
		limit = 50
	}
	return &memory{flaw: f, limit: limit, life: 20 * time.Second}
}

var errFull = &portsnare.Error{Kind: portsnare.LimitExceeded, Hint: "open less"}

func failed(kind portsnare.Kind, text string) error {
	return &portsnare.Error{Kind: kind, Err: errors.New(text), Hint: "do something"}
}

// call is one call to the vendor: a fault may hit before or after do.
func (m *memory) call(ctx context.Context, sort Call, do func() error) error {
	if sort == Write {
		m.writes++
	}
	if ctx.Err() != nil && m.flaw != hasty {
		m.writes -= map[Call]int{Write: 1}[sort] // it was never sent
		return fmt.Errorf("call: %w", context.Cause(ctx))
	}
	trouble := m.troubles.Next(sort)
	fault := trouble.Fault
	switch fault {
	case "":
		return do()
	case Refusal:
		return m.refused(trouble.Words)
	case Silence:
		if err := do(); err != nil {
			return err
		}
		return m.hang(ctx, sort)
	case Hang:
		return m.hang(ctx, sort)
	case Throttled:
		return failed(portsnare.RateLimited, "throttled")
	case ThrottledFor:
		err := &portsnare.Error{Kind: portsnare.RateLimited, RetryAfter: RetryAfterSeconds * time.Second}
		if m.flaw == deaf {
			err.RetryAfter = 0
		}
		return err
	case LostReply, LateError:
		if err := do(); err != nil {
			return err
		}
	}
	switch m.flaw {
	case tellsNoFailure:
		return nil
	case givesUp:
		return failed(portsnare.Invalid, string(fault))
	}
	return failed(portsnare.Transient, string(fault))
}

// hang waits until the caller gives up, or the life of a call is over.
func (m *memory) hang(ctx context.Context, sort Call) error {
	life := m.life
	switch {
	case m.flaw == waitsForEver:
		life *= 30
	case m.flaw == asksAgain && sort == Write:
		m.writes++
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("call: %w", context.Cause(ctx))
	case <-time.After(life):
		return failed(portsnare.Transient, "no answer")
	}
}

func (m *memory) refused(words string) error {
	switch m.flaw {
	case tellsPorts:
	case tellsNothing:
		words = "no"
	default:
		words = needed
	}
	return failed(portsnare.Conflict, words)
}

// CallTimeout implements Firewall.
func (m *memory) CallTimeout() time.Duration { return m.life }

// Rules implements Firewall.
func (m *memory) Rules(ctx context.Context) (rules []portsnare.Rule, err error) {
	err = m.call(ctx, Read, func() error {
		if m.gone && m.flaw != readsNothing {
			return failed(portsnare.NotFound, "gone")
		}
		seen := m.rules
		if m.frozen > 0 {
			m.frozen--
			seen = m.past
		}
		for _, r := range seen {
			if m.flaw == hidesMarks && r.Mark.Owner() != memoryMark.Owner() {
				r.Mark = ""
			}
			rules = append(rules, r.Rule)
		}
		return nil
	})
	return rules, err
}

// Limits implements Firewall.
func (m *memory) Limits(context.Context) (portsnare.Limits, error) {
	return portsnare.Limits{Rules: m.limit}, nil
}

// Apply implements Firewall.
func (m *memory) Apply(ctx context.Context, plan portsnare.Plan) (done portsnare.Done, err error) {
	if err := m.check(plan); err != nil && m.flaw != trustsPlans {
		return done, err
	}
	steps := []func() error{
		func() error { return m.open(ctx, plan.Open, &done) },
		func() error { return m.close(ctx, plan.Close, &done) },
	}
	if (len(m.rules)+len(plan.Open) > m.limit || m.flaw == keepsFormer) && m.flaw != opensFirst {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err = step(); err != nil {
			break
		}
	}
	switch m.flaw {
	case claimsTooMuch:
		done.Opened, done.Closed = plan.Open, plan.Close
	case claimsNothing:
		done = portsnare.Done{}
	case miscounts:
		done.Writes++
	}
	return done, err
}

func (m *memory) check(plan portsnare.Plan) error {
	for _, r := range plan.Close {
		if r.ID == "" || !m.mayClose(r.Mark) || slices.ContainsFunc(plan.Held, func(h portsnare.Rule) bool { return h.ID == r.ID }) {
			return failed(portsnare.Invalid, "not to be closed")
		}
	}
	for _, o := range plan.Open {
		if o.Range.Protocol == 0 || o.Range.From == 0 || o.Range.From > o.Range.To || !o.Source.IsValid() {
			return failed(portsnare.Invalid, "no opening")
		}
	}
	return nil
}

func (m *memory) mayClose(mark portsnare.Mark) bool {
	switch m.flaw {
	case ignoresOwners:
		return mark.Group() == memoryMark.Group()
	case forgetsFormer:
		return mark == memoryMark
	}
	return mark == memoryMark || mark == MarkOf(Former, memoryMark)
}

func (m *memory) open(ctx context.Context, all []portsnare.Opening, done *portsnare.Done) error {
	for _, batch := range m.batches(all) {
		if len(batch) == 0 {
			continue
		}
		err := m.call(ctx, Write, func() error { return m.add(batch) })
		if err != nil {
			return err
		}
		done.Writes++
		for _, o := range batch {
			if !slices.Contains(done.Opened, o) {
				done.Opened = append(done.Opened, o)
			}
		}
	}
	return nil
}

func (m *memory) batches(all []portsnare.Opening) [][]portsnare.Opening {
	if m.flaw == oneByOne {
		return slices.Collect(slices.Chunk(all, 1))
	}
	return [][]portsnare.Opening{all}
}

func (m *memory) add(openings []portsnare.Opening) error {
	if m.gone {
		return failed(portsnare.NotFound, "gone")
	}
	mark := memoryMark
	if m.flaw == opensUnmarked {
		mark = ""
	}
	var fresh []portsnare.Opening
	for _, o := range openings {
		if m.flaw == forgetsV6 && o.Source.Addr().Is6() && len(openings) > 4 {
			continue
		}
		if m.flaw == opensTwice || !slices.Contains(fresh, o) && !m.stands(o) {
			fresh = append(fresh, o)
		}
	}
	if room := m.limit - len(m.rules); len(fresh) > room && m.flaw == dropsWhatIsFull {
		fresh = fresh[:room]
	} else if len(fresh) > room {
		return errFull
	}
	for _, o := range fresh {
		m.make(portsnare.Rule{Opening: o, Mark: mark})
	}
	return nil
}

func (m *memory) stands(o portsnare.Opening) bool {
	return slices.ContainsFunc(m.rules, func(r Standing) bool { return r.Opening == o && !r.Deny && r.Mark == memoryMark })
}

func (m *memory) make(r portsnare.Rule) string {
	m.last++
	r.ID = strconv.Itoa(m.last)
	m.rules = append(m.rules, Standing{r, fmt.Sprint(r)})
	return r.ID
}

func (m *memory) close(ctx context.Context, rules []portsnare.Rule, done *portsnare.Done) error {
	if len(rules) == 0 {
		return nil
	}
	if m.flaw == keepsFormer {
		rules = slices.DeleteFunc(slices.Clone(rules), func(r portsnare.Rule) bool { return r.Mark != memoryMark })
	}
	err := m.call(ctx, Write, func() error {
		if m.gone {
			return failed(portsnare.NotFound, "gone")
		}
		m.harm()
		m.rules = slices.DeleteFunc(m.rules, func(s Standing) bool {
			return slices.ContainsFunc(rules, func(r portsnare.Rule) bool {
				return r.ID == s.ID && (m.flaw != leavesOne || r.ID != rules[0].ID || len(rules) < 3)
			})
		})
		return nil
	})
	if err != nil {
		return err
	}
	done.Writes++
	for _, r := range rules {
		if !slices.Contains(done.Closed, r) {
			done.Closed = append(done.Closed, r)
		}
	}
	return nil
}

// harm does what must never happen, if that is the flaw.
func (m *memory) harm() {
	for i, r := range m.rules {
		switch {
		case r.Mark == memoryMark, r.Mark == MarkOf(Former, memoryMark):
		case m.flaw == touchesOthers && r.Opening.Range != protected.Range():
			m.rules[i].Raw += " "
		case m.flaw == closesProtected && r.Opening.Range == protected.Range():
			m.rules = slices.Delete(slices.Clone(m.rules), i, i+1)
			return
		}
	}
}

// memoryHuman is the console.
type memoryHuman struct{ *memory }

func (h memoryHuman) Rules() ([]Standing, error) { return slices.Clone(h.rules), nil }

func (h memoryHuman) Add(form Form, o portsnare.Opening) (string, error) {
	r := portsnare.Rule{Opening: o}
	r.Mark = MarkOf(form, memoryMark)
	switch form {
	case Deny:
		r.Deny = true
	case Named:
		r.Opening.Source = portsnare.Source{}
	}
	if len(h.rules) >= h.limit {
		return "", errFull
	}
	return h.make(r), nil
}

func (h memoryHuman) Edit(id string, o portsnare.Opening) (string, error) {
	for i := range h.rules {
		if h.rules[i].ID == id {
			h.rules[i].Opening = o
			h.rules[i].Raw = fmt.Sprint(h.rules[i].Rule)
			return id, nil
		}
	}
	return "", errors.New("no such rule")
}

func (h memoryHuman) Remove(id string) error {
	h.rules = slices.DeleteFunc(h.rules, func(r Standing) bool { return r.ID == id })
	return nil
}

// Inject implements Faults.
func (m *memory) Inject(t Trouble) { m.troubles.Inject(t) }

// Freeze implements Faults.
func (m *memory) Freeze(lists int) { m.past, m.frozen = slices.Clone(m.rules), lists }

// Clear implements Faults.
func (m *memory) Clear() { m.troubles, m.frozen = nil, 0 }
