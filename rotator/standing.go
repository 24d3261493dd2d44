package rotator

import (
	"context"
	"slices"

	"github.com/portsnare/portsnare"
)

// Former is a place where the group, or another with one of its hosts, opened
// traps before. Whatever is open there is armed on the hosts, and closed before
// anything is disarmed.
type Former struct {
	Place
	Firewall Firewall
}

// standing is what the firewalls hold at one moment.
type standing struct {
	rules     []portsnare.Rule // of the group's firewall
	ours      []portsnare.Rule // of those: with the group's mark or a former one
	foreign   []portsnare.Rule // all others
	elsewhere []remains        // in other firewalls
}

// remains are the rules of ours in a firewall that the group has left.
type remains struct {
	Former
	rules []portsnare.Rule
}

// open returns every port that is open anywhere under a mark of ours.
func (s standing) open() portsnare.PortSet {
	return portsnare.OpenPorts(s.all())
}

// all returns every rule of ours.
func (s standing) all() []portsnare.Rule {
	all := slices.Clone(s.ours)
	for _, e := range s.elsewhere {
		all = append(all, e.rules...)
	}
	return all
}

// under returns what is open in the group's firewall under one of marks.
func (s standing) under(marks ...portsnare.Mark) portsnare.PortSet {
	rules, _ := portsnare.Ours(s.ours, marks...)
	return portsnare.OpenPorts(rules)
}

// holds reports whether anything of ours is left in p, which is here or elsewhere.
func (s standing) holds(p Place) bool {
	left, _ := portsnare.Ours(s.ours, p.Mark)
	for _, e := range s.elsewhere {
		if e.Same(p.Where) {
			left, _ = portsnare.Ours(e.rules, p.Mark)
		}
	}
	return len(left) > 0
}

// standing reads the group's firewall and those that it has left.
func (r *Rotator) standing(ctx context.Context) (standing, error) {
	var s standing
	var err error
	if s.rules, err = retry(ctx, func() ([]portsnare.Rule, error) { return r.firewall.Rules(ctx) }); err != nil {
		return s, err
	}
	s.ours, s.foreign = portsnare.Ours(s.rules, r.marks()...)
	for _, f := range r.elsewhere() {
		rules, err := retry(ctx, func() ([]portsnare.Rule, error) { return f.Firewall.Rules(ctx) })
		if err != nil {
			return s, r.cannotLeave(f, err)
		}
		left, _ := portsnare.Ours(rules, f.Mark)
		s.elsewhere = append(s.elsewhere, remains{f, left})
	}
	return s, nil
}

// marks returns the group's mark and, behind it, those that its rules in this
// firewall may have borne before.
func (r *Rotator) marks() []portsnare.Mark {
	return append([]portsnare.Mark{r.group.Mark()}, r.formerMarks()...)
}

func (r *Rotator) formerMarks() []portsnare.Mark {
	marks := []portsnare.Mark{r.group.FirstMark()}
	for _, f := range r.former {
		if f.Same(r.group.Where) && f.Mark != r.group.Mark() && !slices.Contains(marks, f.Mark) {
			marks = append(marks, f.Mark)
		}
	}
	return marks
}

// elsewhere returns the former places in other firewalls.
func (r *Rotator) elsewhere() []Former {
	return slices.DeleteFunc(slices.Clone(r.former), func(f Former) bool { return f.Same(r.group.Where) })
}

// leave closes what is open in other firewalls. The hosts have it armed.
func (r *Rotator) leave(ctx context.Context, s *state) error {
	for _, f := range r.elsewhere() {
		if err := r.verify(ctx, s, f.Firewall, r.nothing(f)); err != nil {
			return r.cannotLeave(f, err)
		}
	}
	return nil
}

// nothing is what is wanted in a firewall that the group has left.
func (r *Rotator) nothing(f Former) portsnare.Wanted {
	return portsnare.Wanted{Mark: f.Mark, Protected: f.Protected.Union(r.group.Protected)}
}

func (r *Rotator) cannotLeave(f Former, err error) error {
	if f.Where == Unknown {
		return err // it says all that is known
	}
	return &portsnare.Error{
		Kind: portsnare.KindOf(err), Op: "close the traps of", Subject: f.Group + " in " + f.Where.Firewall, Err: err,
		Hint: "nothing is disarmed and the new configuration of the group waits; put back provider " + f.Provider +
			" with its credential, or close there by hand what bears the mark " + string(f.Mark),
	}
}

// Stray counts the openings that bear a mark of Portsnare which is not the
// group's: another installation's, or that of a group that nobody knows any more.
type Stray struct {
	Mark     portsnare.Mark `json:"mark"`
	Openings int            `json:"openings"`
}

// maxStrays bounds how many marks are told apart; all others count as one, under
// the empty mark.
const maxStrays = 16

// Strays returns what bears a mark, but none of marks, most openings first.
func Strays(rules []portsnare.Rule, marks ...portsnare.Mark) []Stray {
	_, foreign := portsnare.Ours(rules, marks...)
	var strays []Stray
	for _, rule := range foreign {
		mark := portsnare.Mark(portsnare.Plain(string(rule.Mark)))
		if mark == "" {
			continue
		}
		i := slices.IndexFunc(strays, func(s Stray) bool { return s.Mark == mark })
		if i < 0 {
			if len(strays) >= maxStrays {
				mark = ""
			}
			if i = slices.IndexFunc(strays, func(s Stray) bool { return s.Mark == mark }); i < 0 {
				strays = append(strays, Stray{Mark: mark})
				i = len(strays) - 1
			}
		}
		strays[i].Openings++
	}
	slices.SortStableFunc(strays, func(a, b Stray) int { return b.Openings - a.Openings })
	return strays
}
