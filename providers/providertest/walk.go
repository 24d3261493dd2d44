package providertest

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portsnare/portsnare"
)

// patience is how many steps a change may take among faults.
const patience = 60

var (
	protected    = portsnare.Port{Protocol: portsnare.TCP, Number: 61022}
	protectedSet = portsnare.PortSetOf(protected)
	anyV4, anyV6 = portsnare.AnySource()[0], portsnare.AnySource()[1]
)

// walk is one firewall being walked.
type walk struct {
	*testing.T
	Subject
	p    Provider
	kept map[string][]Standing // what others made, by ID: it must not change
	mine []string              // IDs of those among them that the walk's own human made
}

// start returns a walk on a fresh firewall in which somebody else opened the
// protected port to everyone.
func (p Provider) start(t *testing.T, room int) *walk {
	t.Helper()
	w := &walk{T: t, Subject: p.New(t, room), p: p, kept: map[string][]Standing{}}
	for _, r := range w.standing() {
		w.kept[r.ID] = append(w.kept[r.ID], r)
	}
	t.Cleanup(w.cleanUp)
	for _, source := range portsnare.AnySource() {
		w.mustAdd(w.ordinary(), portsnare.Opening{Range: protected.Range(), Source: source})
	}
	return w
}

// cleanUp leaves a firewall that is used again as it was found.
func (w *walk) cleanUp() {
	if w.Faults != nil {
		w.Faults.Clear()
	}
	rules, err := w.Human.Rules()
	if err != nil {
		return // the firewall itself is gone
	}
	for _, r := range rules {
		if w.isOurs(r) && len(w.kept[r.ID]) == 0 || slices.Contains(w.mine, r.ID) {
			_ = w.Human.Remove(r.ID) // of one ID only the first is there to be removed
		}
	}
}

// ordinary is the form in which somebody opens a port.
func (w *walk) ordinary() Form {
	if slices.Contains(w.p.Forms, Plain) {
		return Plain
	}
	return Marked
}

// add lets a human make a rule that must stay as it is.
func (w *walk) add(form Form, o portsnare.Opening) (string, error) {
	w.Helper()
	id, err := w.Human.Add(form, o)
	if err != nil {
		return "", err
	}
	w.mine = append(w.mine, id)
	for _, r := range w.standing() {
		if r.ID == id {
			w.kept[id] = append(w.kept[id], r)
		}
	}
	if len(w.kept[id]) == 0 {
		w.Fatalf("the human's new rule %s (%s) does not stand", id, o)
	}
	return id, nil
}

func (w *walk) mustAdd(form Form, o portsnare.Opening) string {
	w.Helper()
	id, err := w.add(form, o)
	w.must(err)
	return id
}

// drop lets a human remove a rule of others.
func (w *walk) drop(id string) {
	w.Helper()
	w.must(w.Human.Remove(id))
	delete(w.kept, id)
}

func (w *walk) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *walk) standing() []Standing {
	w.Helper()
	rules, err := w.Human.Rules()
	w.must(err)
	return rules
}

// ours returns the rules with our mark that nobody asked to be kept.
func (w *walk) ours() []Standing {
	w.Helper()
	return slices.DeleteFunc(w.standing(), func(r Standing) bool {
		return !w.isOurs(r) || len(w.kept[r.ID]) > 0
	})
}

func (w *walk) isOurs(r Standing) bool {
	return r.Mark == w.p.Mark || r.Mark == MarkOf(Former, w.p.Mark)
}

// wanted is what the firewall shall hold.
func (w *walk) wanted(openings []portsnare.Opening) portsnare.Wanted {
	return portsnare.Wanted{
		Mark: w.p.Mark, Former: []portsnare.Mark{MarkOf(Former, w.p.Mark)}, Openings: openings, Protected: protectedSet,
	}
}

// someOurs is ours, of which there must be some.
func (w *walk) someOurs() []Standing {
	w.Helper()
	ours := w.ours()
	if len(ours) == 0 {
		w.Fatal("no rule of ours stands")
	}
	return ours
}

// attempt is one step of a rotation and how it went.
type attempt struct {
	have   []portsnare.Rule
	plan   portsnare.Plan
	done   portsnare.Done
	err    error
	writes int
}

// step reads, plans and applies once, as a rotation does, and demands what must
// hold after every step however it went.
func (w *walk) step(ctx context.Context, want []portsnare.Opening) attempt {
	w.Helper()
	var a attempt
	before := w.Writes()
	if a.have, a.err = w.Firewall.Rules(ctx); a.err == nil {
		a.plan = portsnare.Diff(a.have, w.wanted(want))
		if !a.plan.Empty() {
			a.done, a.err = w.Firewall.Apply(ctx, a.plan)
		}
	}
	a.writes = w.Writes() - before
	w.check(a.plan, a.done)
	if a.done.Writes > a.writes {
		w.Errorf("Done counts %d writes, %d were made", a.done.Writes, a.writes)
	}
	return a
}

// reach gets to want in one step and demands that it took the fewest writes,
// that Done tells the whole plan, and that a second step changes nothing.
func (w *walk) reach(want []portsnare.Opening) {
	w.Helper()
	a := w.step(w.Context(), want)
	w.must(a.err)
	if !a.plan.Empty() {
		if fewest := w.p.Writes(a.have, a.plan); a.writes != fewest || a.done.Writes != fewest {
			w.Errorf("%d writes, Done counts %d; want %d for\n%s", a.writes, a.done.Writes, fewest, a.plan)
		}
		w.equal("Done.Opened", a.plan.Open, a.done.Opened)
		w.equal("Done.Closed", openings(a.plan.Close), openings(a.done.Closed))
	}
	if w.Settle != nil && a.writes > 0 {
		w.Settle()
	}
	if again := w.step(w.Context(), want); again.err != nil || !again.plan.Empty() || again.writes != 0 {
		w.Errorf("again: error %v, %d writes, plan\n%s", again.err, again.writes, again.plan)
	}
	w.checkOurs(want)
}

// struggle repeats steps among faults until nothing is left to do.
func (w *walk) struggle(want []portsnare.Opening) {
	w.Helper()
	var a attempt
	for range patience {
		a = w.step(w.Context(), want)
		switch {
		case a.err == nil && a.plan.Empty():
			return
		case a.err != nil && !passes(a.err):
			w.Fatalf("an error that does not pass: %v", a.err)
		}
		if w.Settle != nil {
			w.Settle()
		}
	}
	w.Fatalf("not done in %d steps; the last: error %v, plan\n%s", patience, a.err, a.plan)
}

// recover ends all faults, after which want must be reached.
func (w *walk) recover(want []portsnare.Opening) {
	w.Helper()
	if w.Faults != nil {
		w.Faults.Clear()
	}
	w.struggle(want)
	w.checkOurs(want)
}

// passes reports whether a rotation would try again by itself.
func passes(err error) bool {
	return portsnare.Retryable(err) || errors.Is(err, portsnare.Conflict)
}

// check demands that every rule of others is what it was, byte for byte, and
// that what Done claims is so, and was planned.
func (w *walk) check(plan portsnare.Plan, done portsnare.Done) {
	w.Helper()
	standing := w.standing()
	w.checkKept(standing)
	for _, o := range done.Opened {
		stands := slices.ContainsFunc(standing, func(r Standing) bool { return r.Opening == o && !r.Deny && r.Mark == w.p.Mark })
		if !stands || !slices.Contains(plan.Open, o) {
			w.Errorf("Done.Opened holds %s: standing %v, planned\n%s", o, stands, plan)
		}
	}
	for _, c := range done.Closed {
		stands := slices.ContainsFunc(standing, func(r Standing) bool { return r.ID == c.ID && r.Opening == c.Opening && r.Mark == c.Mark })
		if stands || !slices.Contains(plan.Close, c) {
			w.Errorf("Done.Closed holds %s (%s): standing %v, planned\n%s", c.Opening, c.ID, stands, plan)
		}
	}
}

func (w *walk) checkKept(standing []Standing) {
	w.Helper()
	now := map[string][]Standing{}
	for _, r := range standing {
		if len(w.kept[r.ID]) > 0 {
			now[r.ID] = append(now[r.ID], r)
		}
	}
	if !maps.EqualFunc(w.kept, now, slices.Equal[[]Standing]) {
		w.Fatalf("rules of others (-as they were +as they are):\n%s", gocmp.Diff(w.kept, now, cmpopts.EquateComparable(netip.Prefix{})))
	}
}

// checkOurs demands that ours are the wanted openings, each once, save those
// that others serve in just the same form.
func (w *walk) checkOurs(want []portsnare.Opening) {
	w.Helper()
	var rest, got []portsnare.Opening
	for _, o := range want {
		if !w.served(o) {
			rest = append(rest, o)
		}
	}
	for _, r := range w.ours() {
		got = append(got, r.Opening)
	}
	w.equal("our openings", rest, got)
}

func (w *walk) served(o portsnare.Opening) bool {
	for _, rules := range w.kept {
		if slices.ContainsFunc(rules, func(r Standing) bool { return r.Opening == o && !r.Deny && r.Mark != w.p.Mark }) {
			return true
		}
	}
	return false
}

func (w *walk) equal(what string, want, got []portsnare.Opening) {
	w.Helper()
	want, got = sorted(want), sorted(got)
	if !slices.Equal(want, got) {
		w.Errorf("%s (-want +got):\n%s", what, gocmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})))
	}
}

func sorted(openings []portsnare.Opening) []portsnare.Opening {
	return slices.SortedFunc(slices.Values(openings), func(a, b portsnare.Opening) int { return cmp.Compare(a.String(), b.String()) })
}

func openings(rules []portsnare.Rule) []portsnare.Opening {
	var all []portsnare.Opening
	for _, r := range rules {
		all = append(all, r.Opening)
	}
	return all
}

// room returns how many ranges for both families fit beside what must stay.
func (w *walk) room() int {
	w.Helper()
	limits, err := w.Firewall.Limits(w.Context())
	w.must(err)
	var others []portsnare.Rule
	for _, rules := range w.kept {
		for _, r := range rules {
			others = append(others, r.Rule)
		}
	}
	slices.SortFunc(others, func(a, b portsnare.Rule) int { return cmp.Compare(a.ID, b.ID) })
	return limits.Budget(others, portsnare.AnySource()...)
}

// dual returns openings of ranges such as "8000-8009/tcp" to everyone.
func (w *walk) dual(ranges ...string) []portsnare.Opening {
	w.Helper()
	return w.to(portsnare.AnySource(), ranges...)
}

func (w *walk) v4(ranges ...string) []portsnare.Opening {
	w.Helper()
	return w.to([]portsnare.Source{anyV4}, ranges...)
}

func (w *walk) v6(ranges ...string) []portsnare.Opening {
	w.Helper()
	return w.to([]portsnare.Source{anyV6}, ranges...)
}

func (w *walk) to(sources []portsnare.Source, ranges ...string) []portsnare.Opening {
	w.Helper()
	var apart []portsnare.PortRange // ranges that touch or overlap are not one
	for _, text := range ranges {
		r, err := portsnare.ParsePortRange(text)
		w.must(err)
		apart = append(apart, r)
	}
	return portsnare.OpeningsOf(apart, sources...)
}
