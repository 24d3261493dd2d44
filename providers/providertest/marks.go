package providertest

import (
	"slices"
	"testing"

	"github.com/portsnare/portsnare"
)

// MarkedForms are the forms of all rules of Portsnare.
var MarkedForms = []Form{Marked, Former, OtherOwner, OtherGroup, OldGroup}

// MarkOf returns the mark of rules of a form where ours is mark, or "" for rules
// that are not Portsnare's.
func MarkOf(form Form, mark portsnare.Mark) portsnare.Mark {
	switch form {
	case Marked:
		return mark
	case Former:
		return portsnare.Mark(mark.Group())
	case OtherOwner:
		return portsnare.NewMark("somebody-else", mark.Group())
	case OtherGroup:
		return portsnare.NewMark(mark.Owner(), "another")
	case OldGroup:
		return "another"
	}
	return ""
}

// strangers are the forms of rules that are Portsnare's and not ours.
var strangers = []Form{OtherOwner, OtherGroup, OldGroup}

// marks: every mark of Portsnare is told, and only what bears ours or a former
// one of ours is touched.
func marks(t *testing.T, p Provider) {
	for _, form := range strangers {
		if !p.can(form) {
			continue
		}
		p.fresh(t, string(form), nil, func(w *walk) {
			w.mustAdd(form, w.v4("5000-5009/tcp")[0])
			w.mustAdd(form, w.v6("6000/tcp")[0])
			w.checkMark(MarkOf(form, p.Mark), 2)
			w.reach(w.dual("5000-5009/tcp", "5011/tcp"))
			w.reach(w.dual("6000/tcp"))
			w.reach(nil)
			w.checkMark(MarkOf(form, p.Mark), 2)
			w.refuse(w.v4("5000-5009/tcp")[0])
		})
	}
	if p.can(Former) {
		former(t, p)
	}
	renamed(t, p)
}

// checkMark demands that n rules are told with a mark.
func (w *walk) checkMark(mark portsnare.Mark, n int) {
	w.Helper()
	rules, err := w.Firewall.Rules(w.Context())
	w.must(err)
	if marked, _ := portsnare.Ours(rules, mark); len(marked) != n {
		w.Errorf("%d rules with the mark %q, want %d: %v", len(marked), mark, n, rules)
	}
}

// refuse demands that the rule for o cannot be closed, whatever a plan says.
func (w *walk) refuse(o portsnare.Opening) {
	w.Helper()
	rules, err := w.Firewall.Rules(w.Context())
	w.must(err)
	i := slices.IndexFunc(rules, func(r portsnare.Rule) bool { return r.Opening == o })
	if i < 0 {
		w.Fatalf("no rule for %s", o)
	}
	before := w.Writes()
	_, err = w.Firewall.Apply(w.Context(), portsnare.Plan{Close: rules[i : i+1]})
	if portsnare.KindOf(err) != portsnare.Invalid || w.Writes() != before {
		w.Errorf("error %v after %d writes, want one of kind %q and none", err, w.Writes()-before, portsnare.Invalid)
	}
	w.checkKept(w.standing())
}

// former: rules of the first version are closed, and those that are still wanted
// are opened again with the mark of this one, also where there is no room for both.
func former(t *testing.T, p Provider) {
	for _, tt := range []struct {
		name string
		want []string
	}{
		{"former ones are closed", nil},
		{"former ones are replaced by others", []string{"7000/tcp", "8000-8009/tcp"}},
		{"former ones are opened again", []string{"5000/tcp", "6000-6010/tcp"}},
		{"one former one is opened again", []string{"5000/tcp", "7000/tcp"}},
	} {
		p.fresh(t, tt.name, nil, func(w *walk) {
			w.mustAddOurs(Former, w.dual("5000/tcp", "6000-6010/tcp")...)
			w.checkMark(MarkOf(Former, p.Mark), 4)
			w.reach(w.dual(tt.want...))
			w.checkMark(MarkOf(Former, p.Mark), 0)
			w.reach(nil)
		})
	}
	p.fresh(t, "former ones beside present ones", nil, func(w *walk) {
		w.reach(w.dual("7000/tcp", "8000/tcp"))
		w.mustAddOurs(Former, w.dual("5000/tcp")...)
		w.reach(w.dual("7000/tcp", "9000/tcp"))
		w.checkMark(MarkOf(Former, p.Mark), 0)
	})
	t.Run("a firewall full of former ones", func(t *testing.T) {
		w := p.start(t, 16)
		n := w.room()
		if n > 65535 {
			n = 8
		}
		w.mustAddOurs(Former, many(n, 1000)...)
		w.reach(many(n, 3000))
		w.checkMark(MarkOf(Former, p.Mark), 0)
	})
}

// mustAddOurs lets a human make rules that need not stay.
func (w *walk) mustAddOurs(form Form, openings ...portsnare.Opening) {
	w.Helper()
	for _, o := range openings {
		_, err := w.Human.Add(form, o)
		w.must(err)
	}
}

// renamed: where the firewall itself is the mark, its name says whose all rules
// are, and one of the first version goes on working.
func renamed(t *testing.T, p Provider) {
	w := p.start(t, 0)
	if w.Rename == nil {
		return
	}
	sub(w, "a firewall of the first version", func(w *walk) {
		w.must(w.Rename(MarkOf(Former, p.Mark)))
		w.reach(w.dual("5000/tcp", "6000/tcp"))
		w.reach(w.dual("6000/tcp", "7000/tcp"))
	})
	for _, form := range strangers {
		sub(w, "a firewall of "+string(form), func(w *walk) {
			w.must(w.Rename(MarkOf(form, p.Mark)))
			rules, err := w.Firewall.Rules(w.Context())
			w.must(err)
			ours, _ := portsnare.Ours(rules, p.Mark, MarkOf(Former, p.Mark))
			theirs, _ := portsnare.Ours(rules, MarkOf(form, p.Mark))
			if len(ours) != 0 || len(theirs) < 4 {
				w.Errorf("rules %v, want those for 6000/tcp and 7000/tcp with the mark %q", rules, MarkOf(form, p.Mark))
			}
			before := w.Writes()
			for _, plan := range []portsnare.Plan{{Open: w.dual("9000/tcp")}, {Close: theirs}} {
				if _, err := w.Firewall.Apply(w.Context(), plan); portsnare.KindOf(err) != portsnare.Invalid {
					w.Errorf("error %v, want one of kind %q for\n%s", err, portsnare.Invalid, plan)
				}
			}
			if n := w.Writes() - before; n != 0 {
				w.Errorf("%d writes to a firewall that is not ours", n)
			}
		})
	}
	sub(w, "a firewall of ours again", func(w *walk) {
		w.must(w.Rename(p.Mark))
		w.reach(w.dual("7000/tcp", "8000/tcp"))
		w.reach(nil)
	})
}
