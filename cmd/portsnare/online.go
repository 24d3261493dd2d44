package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/cmd/internal/clouds"
	"github.com/portsnare/portsnare/cmd/internal/config"
	"github.com/portsnare/portsnare/rotator"
	"github.com/portsnare/portsnare/rotator/placement"
)

// What some providers can find out beyond what a rotation needs. None of it changes
// anything.
type (
	authenticator interface {
		// Authenticate asks whether the cloud accepts the credential.
		Authenticate(ctx context.Context) error
	}
	permitter interface {
		// Permissions returns portsnare.Denied with what the credential lacks.
		Permissions(ctx context.Context) error
	}
	surveyor interface {
		// Around reports whether the firewall is attached to something, and returns
		// the rules of other firewalls there. The error is of kind Denied if the
		// credential does not allow it.
		Around(ctx context.Context) (attached bool, beside []portsnare.Rule, err error)
	}
)

// The results of a finding.
const (
	resultOK      = "ok"
	resultProblem = "problem"
	resultUnknown = "unknown" // the cloud or the credential does not allow an answer
)

// finding is the outcome of one check.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Text   string `json:"text"`
	Hint   string `json:"hint,omitempty"`
}

// checkup holds the findings about one group. A check that could not be made because
// an earlier one failed is not in it.
type checkup struct {
	Group    string    `json:"group"`
	Kind     string    `json:"kind"`
	Firewall string    `json:"firewall,omitempty"`
	Findings []finding `json:"findings"`
}

func (c *checkup) add(check, result, text, hint string) {
	c.Findings = append(c.Findings, finding{check, result, text, hint})
}

func (c *checkup) ok(check, format string, args ...any) {
	c.add(check, resultOK, fmt.Sprintf(format, args...), "")
}

func (c *checkup) problem(check string, err error) {
	hint := portsnare.HintOf(err)
	if hint == "" && portsnare.Retryable(err) {
		hint = "this may be temporary: check the network of this machine, then try again"
	}
	c.add(check, resultProblem, err.Error(), hint)
}

func (c *checkup) problems() int {
	n := 0
	for _, f := range c.Findings {
		if f.Result == resultProblem {
			n++
		}
	}
	return n
}

// WriteText implements cli.Answer.
func (c *checkup) WriteText(w io.Writer) error {
	text := cli.NewText(w)
	text.Line("%s", strings.TrimSpace(c.Group+": "+c.Kind+" "+c.Firewall))
	for _, f := range c.Findings {
		text.Line("  %-12s %-8s %s", f.Check, f.Result, f.Text)
		if f.Hint != "" {
			text.Line("  %-12s %-8s hint: %s", "", "", f.Hint)
		}
	}
	return text.Err()
}

// examination is a checkup in progress.
type examination struct {
	checkup
	group    rotator.Group
	firewall rotator.Firewall
	rules    []portsnare.Rule // all rules of the firewall
	foreign  []portsnare.Rule // those that are not ours
}

// examine asks the cloud about the firewall of a group, and changes nothing.
func examine(ctx context.Context, owner string, g config.Group) checkup {
	e := &examination{checkup: checkup{Group: g.Name, Kind: g.Provider.Kind, Firewall: g.Firewall}, group: groupOf(owner, g)}
	firewall, err := openFirewall(ctx, g.Provider, g.Firewall, e.group.Mark(), e.group.FirstMark())
	if err != nil {
		e.problem("credential", err)
		return e.checkup
	}
	e.firewall = firewall
	if !e.credential(ctx) {
		return e.checkup
	}
	e.permissions(ctx)
	if e.read(ctx) {
		e.room(ctx)
		e.around(ctx)
		e.order(ctx)
	}
	return e.checkup
}

func (e *examination) credential(ctx context.Context) bool {
	a, can := e.firewall.(authenticator)
	if !can {
		return true
	}
	if err := a.Authenticate(ctx); err != nil {
		e.problem("credential", err)
		return false
	}
	e.ok("credential", "works")
	return true
}

func (e *examination) permissions(ctx context.Context) {
	p, can := e.firewall.(permitter)
	if !can {
		if c, _ := clouds.Find(e.Kind); c.Unasked != "" {
			e.add("permissions", resultUnknown, c.Unasked, "")
		}
		return
	}
	if err := p.Permissions(ctx); err != nil {
		e.problem("permissions", err)
		return
	}
	e.ok("permissions", "suffice")
}

func (e *examination) read(ctx context.Context) bool {
	var err error
	if e.rules, err = e.firewall.Rules(ctx); err != nil {
		e.problem("firewall", err)
		return false
	}
	var ours []portsnare.Rule
	ours, e.foreign = portsnare.Ours(e.rules, e.group.Mark(), e.group.FirstMark())
	if !e.group.CloudFirewall {
		e.ok("firewall", "none: every port reaches the hosts, which do all the filtering")
		return true
	}
	e.strays()
	e.ok("firewall", "%s of ours, %s of others", count(len(ours), "opening"), count(len(e.foreign), "opening"))
	return true
}

// strays names the marks of Portsnare that are not the group's.
func (e *examination) strays() {
	for _, s := range rotator.Strays(e.rules, e.group.Mark(), e.group.FirstMark()) {
		text, hint := tellStray(e.group.Owner, s)
		e.add("strays", resultProblem, text, hint)
	}
}

// tellStray says whose the openings of a stray are, and what becomes of them. Only a
// running controller can read which places it remembers.
func tellStray(owner string, s rotator.Stray) (text, hint string) {
	text = fmt.Sprintf("%s with the mark %q", count(s.Openings, "opening"), s.Mark)
	switch s.Mark.Owner() {
	case owner:
		return text + ", of a group of this installation that is not configured for this firewall",
			"the controller closes them when it starts, unless it has lost its state; `portsnare status` then shows what is left"
	case "":
		if s.Mark == "" {
			return text[:len(text)-len(` with the mark ""`)] + " with still other marks", "give each installation a firewall of its own"
		}
		return text + ", of the first version",
			"if this installation had group " + s.Mark.Group() + " before the upgrade, the controller closes them when it starts; else another installation has opened them"
	}
	return text + ", which belongs to the installation " + s.Mark.Owner(),
		"no controller but its own closes them; give each installation a firewall of its own, or set this one's `owner` to " + s.Mark.Owner() + " if they are the same"
}

// room reports how many rules the firewall has, and how many it can have.
func (e *examination) room(ctx context.Context) {
	if !e.group.CloudFirewall {
		return
	}
	limits, err := e.firewall.Limits(ctx)
	if err != nil {
		e.problem("limit", err)
		return
	}
	limit := count(limits.Rules, "rule")
	if limits.PerFamily {
		limit += " for each IP family"
	}
	used := limits.Used(e.foreign)
	e.ok("limit", "%s, %d used by others, %d left: room for %s of traps",
		limit, used, max(0, limits.Rules-used), count(limits.Budget(e.foreign, e.group.Sources...), "range"))
}

// around reports whether the firewall is attached to anything, and whether other
// rules admit the protected ports.
func (e *examination) around(ctx context.Context) {
	s, can := e.firewall.(surveyor)
	if !can {
		return
	}
	attached, beside, err := s.Around(ctx)
	switch {
	case errors.Is(err, portsnare.Denied):
		e.add("attached", resultUnknown, "the credential is not allowed to look", portsnare.HintOf(err))
	case err != nil:
		e.problem("attached", err)
	case !attached:
		e.add("attached", resultProblem, "the firewall is not attached to anything, so its rules have no effect",
			"attach it to the hosts of the group; Portsnare never attaches anything")
	default:
		e.ok("attached", "to at least one host")
	}
	e.protected(beside, err == nil && attached)
}

// protected checks that a rule of somebody else admits every protected port. A port
// that only rules of ours admit, for this group or another, would be ours to close.
// all means that beside holds the rules of every other firewall.
func (e *examination) protected(beside []portsnare.Rule, all bool) {
	others := slices.DeleteFunc(slices.Concat(beside, e.foreign), func(r portsnare.Rule) bool { return r.Mark != "" })
	admitted := portsnare.OpenPorts(others)
	closed := e.group.Protected.Minus(admitted)
	switch {
	case closed.Empty():
		e.ok("protected", "%s admitted by rules of others", e.group.Protected)
	case !all:
		e.add("protected", resultUnknown, fmt.Sprintf("no rule of others in this firewall admits %s, and other firewalls cannot be read", closed), "")
	default:
		e.add("protected", resultProblem, fmt.Sprintf("no rule of others admits %s", closed),
			"add a rule of your own that admits it, or remove it from `protect` and `public`: Portsnare opens traps, never services")
	}
}

// order reports in which order rotations open and close, once there are traps.
func (e *examination) order(ctx context.Context) {
	first, err := rotator.NewPreview(ctx, e.group, e.firewall, placement.SecureRand())
	if err != nil {
		e.problem("order", err)
		return
	}
	limits, err := e.firewall.Limits(ctx)
	if err != nil {
		e.problem("order", err)
		return
	}
	later := settled{e.firewall, rotator.After(e.rules, first.Plan, limits, e.group.Mark())}
	next, err := rotator.NewPreview(ctx, e.group, later, placement.SecureRand())
	if err != nil {
		e.problem("order", err)
		return
	}
	e.ok("order", "%s: %s; a rotation takes %s", next.Way, ways[next.Way], count(next.Writes, "write"))
}

var ways = map[portsnare.Way]string{
	portsnare.OpenFirst:  "there is room for old and new traps at once",
	portsnare.InPlace:    "old rules are turned into new ones",
	portsnare.CloseFirst: "there is no room for old and new traps at once, so the old ones are closed first",
}

// settled is a firewall as it will be after a rotation.
type settled struct {
	rotator.Firewall
	rules []portsnare.Rule
}

func (s settled) Rules(context.Context) ([]portsnare.Rule, error) { return s.rules, nil }

// Writes returns what the provider says, or one write an opening.
func (s settled) Writes(plan portsnare.Plan) int {
	if w, ok := s.Firewall.(interface{ Writes(portsnare.Plan) int }); ok {
		return w.Writes(plan)
	}
	return len(plan.Open) + len(plan.Close)
}
