package providertest

import (
	"context"
	"testing"

	"github.com/portsnare/portsnare"
)

// foreign moves traps about among rules of others, which stay and, where they
// admit a trap in just the same form, serve for it.
func foreign(t *testing.T, p Provider) {
	for _, tt := range []struct {
		name  string
		form  Form
		ports string
	}{
		{"equal", Plain, "5000-5009/tcp"},
		{"wider", Plain, "4000-6000/tcp"},
		{"narrower", Plain, "5005/tcp"},
		{"overlapping", Plain, "5005-5020/tcp"},
		{"of the other protocol", Plain, "5000-5009/udp"},
		{"refusing", Deny, "5000-5009/tcp"},
		{"refusing some", Deny, "5005/tcp"},
		{"for a named source", Named, "5000-5009/tcp"},
	} {
		if !p.can(tt.form) {
			continue
		}
		p.fresh(t, tt.name, nil, func(w *walk) {
			w.mustAdd(tt.form, w.v4(tt.ports)[0])
			w.reach(w.dual("5000-5009/tcp", "5011/tcp"))
			w.reach(w.dual("5001-5009/tcp", "5011/tcp"))
			w.reach(w.dual("5000-5009/tcp"))
			w.reach(nil)
		})
	}
}

// guarded: the rule by which a protected port is open is never closed.
func guarded(t *testing.T, p Provider) {
	alone := func(w *walk) { // the walk's human made the protected rule; nobody needs it any more
		for _, id := range w.mine {
			w.drop(id)
		}
	}
	p.fresh(t, "a rule with our mark alone admits it", nil, func(w *walk) {
		alone(w)
		w.mustAdd(Marked, portsnare.Opening{Range: protected.Range(), Source: anyV4})
		w.mustAdd(Marked, portsnare.Opening{Range: portsnare.PortRange{Protocol: portsnare.TCP, From: 61000, To: 61100}, Source: anyV6})
		for _, want := range [][]portsnare.Opening{w.dual("5000/tcp"), w.dual("61021/tcp", "61023/tcp"), nil} {
			w.reach(want)
		}
		if a := w.step(w.Context(), nil); len(a.plan.Held) != 2 {
			w.Errorf("held %v, want both rules", a.plan.Held)
		}
	})
	p.fresh(t, "traps next to it", nil, func(w *walk) {
		w.reach(w.dual("61000-61021/tcp", "61023-61044/tcp"))
		w.reach(w.dual("61021/tcp", "61023/tcp", "61022/udp"))
		w.reach(nil)
	})
}

// refusals: what must never be sent is not.
func refusals(t *testing.T, p Provider) {
	w := p.start(t, 0)
	w.reach(w.dual("5000/tcp"))
	rules, err := w.Firewall.Rules(w.Context())
	w.must(err)
	ours, _ := portsnare.Ours(rules, p.Mark)
	var trap portsnare.Rule
	for _, r := range ours {
		if r.Opening.Range.From == 5000 {
			trap = r
		}
	}
	stranger := trap
	stranger.Mark = MarkOf(OtherOwner, p.Mark)
	unmarked := trap
	unmarked.Mark = ""
	o := w.v4("5001/tcp")[0]
	for _, tt := range []struct {
		name string
		plan portsnare.Plan
	}{
		{"a rule without a mark", portsnare.Plan{Close: []portsnare.Rule{unmarked}}},
		{"a rule with another mark", portsnare.Plan{Close: []portsnare.Rule{trap, stranger}}},
		{"a rule without an id", portsnare.Plan{Close: []portsnare.Rule{{Opening: trap.Opening, Mark: p.Mark}}}},
		{"a rule to be held", portsnare.Plan{Close: []portsnare.Rule{trap}, Held: []portsnare.Rule{trap}}},
		{"an opening to nobody", portsnare.Plan{Open: []portsnare.Opening{{Range: o.Range}}, Close: []portsnare.Rule{trap}}},
		{"an opening of no port", portsnare.Plan{Open: []portsnare.Opening{o, {Range: portsnare.PortRange{Protocol: portsnare.TCP}, Source: anyV4}}}},
		{"an opening of no protocol", portsnare.Plan{Open: []portsnare.Opening{{Range: portsnare.PortRange{From: 1, To: 2}, Source: anyV4}}}},
		{"an opening from high to low", portsnare.Plan{Open: []portsnare.Opening{{Range: portsnare.PortRange{Protocol: portsnare.TCP, From: 2, To: 1}, Source: anyV4}}}},
	} {
		sub(w, tt.name, func(w *walk) {
			before := w.Writes()
			done, err := w.Firewall.Apply(w.Context(), tt.plan)
			if portsnare.KindOf(err) != portsnare.Invalid || len(done.Opened)+len(done.Closed)+done.Writes != 0 {
				w.Errorf("done %+v, error %v; want nothing done and an error of kind %q", done, err, portsnare.Invalid)
			}
			if n := w.Writes() - before; n != 0 {
				w.Errorf("%d writes were sent", n)
			}
			w.checkKept(w.standing())
			w.checkOurs(w.dual("5000/tcp"))
		})
	}
}

// absent: a firewall that is gone must never look like one where all is closed.
func absent(t *testing.T, p Provider) {
	w := p.start(t, 0)
	if w.Remove == nil {
		t.Skip("this firewall must stay")
	}
	w.reach(w.dual("5000/tcp"))
	rules, err := w.Firewall.Rules(w.Context())
	w.must(err)
	w.must(w.Remove())
	plan := portsnare.Diff(rules, w.wanted(w.dual("5001/tcp")))
	for name, call := range map[string]func(context.Context) error{
		"rules": func(ctx context.Context) error { _, err := w.Firewall.Rules(ctx); return err },
		"apply": func(ctx context.Context) error { _, err := w.Firewall.Apply(ctx, plan); return err },
	} {
		sub(w, name, func(w *walk) {
			if err := call(w.Context()); portsnare.KindOf(err) != portsnare.NotFound || portsnare.HintOf(err) == "" {
				w.Errorf("error %v, hint %q; want one of kind %q with a hint", err, portsnare.HintOf(err), portsnare.NotFound)
			}
		})
	}
}
