package providertest

import (
	"testing"

	"github.com/portsnare/portsnare"
)

// drift: a human has changed what is ours; one step mends it.
func drift(t *testing.T, p Provider) {
	for _, tt := range []struct {
		name  string
		form  Form // that the human must be able to make
		drift func(w *walk, ours []Standing) error
	}{
		{"one removed", Marked, func(w *walk, ours []Standing) error {
			return w.Human.Remove(ours[0].ID)
		}},
		{"all removed", Marked, func(w *walk, ours []Standing) error {
			for _, r := range ours {
				if w.stands(r.ID) { // of one ID the first took all along
					w.must(w.Human.Remove(r.ID))
				}
			}
			return nil
		}},
		{"one moved", Marked, func(w *walk, ours []Standing) error {
			_, err := w.Human.Edit(ours[0].ID, w.v4("7000/tcp")[0])
			return err
		}},
		{"one widened", Marked, func(w *walk, ours []Standing) error {
			_, err := w.Human.Edit(ours[0].ID, w.v4("4000-5100/tcp")[0])
			return err
		}},
		{"one moved onto another", Marked, func(w *walk, ours []Standing) error {
			_, _ = w.Human.Edit(ours[0].ID, ours[len(ours)-1].Opening) // a vendor may refuse it
			return nil
		}},
		{"one added", Marked, func(w *walk, _ []Standing) error {
			_, err := w.Human.Add(Marked, w.v6("7000-7010/tcp")[0])
			return err
		}},
		{"one doubled for one family", Marked, func(w *walk, _ []Standing) error {
			_, _ = w.Human.Add(Marked, w.v4("5000/tcp")[0]) // a vendor may refuse it
			return nil
		}},
		{"one replaced by a foreign one", Plain, func(w *walk, ours []Standing) error {
			w.must(w.Human.Remove(ours[0].ID))
			w.mustAdd(Plain, ours[0].Opening)
			return nil
		}},
		{"one refused by a foreign one", Deny, func(w *walk, ours []Standing) error {
			w.mustAdd(Deny, ours[0].Opening)
			return nil
		}},
	} {
		if !p.can(tt.form) {
			continue
		}
		p.fresh(t, tt.name, nil, func(w *walk) {
			want := w.dual("5000/tcp", "6000-6010/tcp")
			w.reach(want)
			w.must(tt.drift(w, w.someOurs()))
			w.reach(want)
			w.reach(w.dual("6000-6010/tcp", "6012/tcp"))
			w.reach(nil)
		})
	}
}

func (w *walk) stands(id string) bool {
	w.Helper()
	for _, r := range w.standing() {
		if r.ID == id {
			return true
		}
	}
	return false
}

// duplicates: nothing is made twice, nor removed twice, whatever the plan says.
func duplicates(t *testing.T, p Provider) {
	both := func(w *walk) []portsnare.Opening { return w.dual("5000/tcp", "6000/tcp") }
	p.fresh(t, "an opening twice in a plan", nil, func(w *walk) {
		plan := portsnare.Plan{Open: append(both(w), both(w)...)}
		done, err := w.Firewall.Apply(w.Context(), plan)
		w.must(err)
		w.equal("Done.Opened", both(w), done.Opened)
		w.checkOurs(both(w))
	})
	p.fresh(t, "a rule twice in a plan", nil, func(w *walk) {
		w.reach(both(w))
		plan := w.plan(nil)
		plan.Close = append(plan.Close, plan.Close...)
		done, err := w.Firewall.Apply(w.Context(), plan)
		w.must(err)
		w.equal("Done.Closed", both(w), openings(done.Closed))
		w.checkOurs(nil)
	})
	for _, tt := range []struct {
		name     string
		from, to []string
	}{
		{"opening", nil, []string{"5000/tcp", "6000/tcp"}},
		{"closing", []string{"5000/tcp", "6000/tcp"}, nil},
		{"replacing", []string{"5000/tcp", "6000/tcp"}, []string{"7000/tcp", "8000/tcp"}},
	} {
		p.fresh(t, "a plan twice, "+tt.name, nil, func(w *walk) {
			w.reach(w.dual(tt.from...))
			plan := w.plan(w.dual(tt.to...))
			_, err := w.Firewall.Apply(w.Context(), plan)
			w.must(err)
			if _, err := w.Firewall.Apply(w.Context(), plan); err != nil && !passes(err) {
				w.Errorf("again: %v", err)
			}
			w.checkKept(w.standing())
			w.recover(w.dual(tt.to...))
		})
	}
}

// plan reads the firewall and plans the way to want.
func (w *walk) plan(want []portsnare.Opening) portsnare.Plan {
	w.Helper()
	rules, err := w.Firewall.Rules(w.Context())
	w.must(err)
	return portsnare.Diff(rules, w.wanted(want))
}

// races: between reading and writing a human was faster.
func races(t *testing.T, p Provider) {
	for _, tt := range []struct {
		name string
		form Form
		race func(w *walk, ours Standing) error
	}{
		{"ours opened already", Marked, func(w *walk, _ Standing) error {
			_, err := w.Human.Add(Marked, w.v4("7000/tcp")[0])
			return err
		}},
		{"opened by somebody else", Plain, func(w *walk, _ Standing) error {
			w.mustAdd(Plain, w.v4("7000/tcp")[0])
			return nil
		}},
		{"ours closed already", Marked, func(w *walk, ours Standing) error {
			return w.Human.Remove(ours.ID)
		}},
		{"ours edited", Marked, func(w *walk, ours Standing) error {
			_, err := w.Human.Edit(ours.ID, w.v4("9000/tcp")[0])
			return err
		}},
		{"ours became somebody else's", Plain, func(w *walk, ours Standing) error {
			w.must(w.Human.Remove(ours.ID))
			w.mustAdd(Plain, ours.Opening)
			return nil
		}},
	} {
		if !p.can(tt.form) {
			continue
		}
		for _, to := range []struct {
			name   string
			ranges []string
		}{
			{"opening", []string{"5000/tcp", "6000/tcp", "7000/tcp", "8000/tcp"}},
			{"closing", nil},
			{"replacing", []string{"7000/tcp", "8000/tcp"}},
		} {
			p.fresh(t, tt.name+", "+to.name, nil, func(w *walk) {
				w.reach(w.v4("5000/tcp", "6000/tcp"))
				plan := w.plan(w.v4(to.ranges...))
				w.must(tt.race(w, w.someOurs()[0]))
				done, err := w.Firewall.Apply(w.Context(), plan)
				if err != nil && !passes(err) {
					w.Errorf("error %v: want one after which a rotation tries again", err)
				}
				w.checkKept(w.standing())
				if done.Writes == 0 && len(done.Opened)+len(done.Closed) > 0 {
					w.Errorf("done %+v without a write", done)
				}
				w.recover(w.v4(to.ranges...))
			})
		}
	}
}
