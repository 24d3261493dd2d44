package aws_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"testing"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

// TestWalk moves a small port space about at random, among humans who change
// rules and with calls that fail in every way, and demands after each move that
// the group holds what is wanted and nothing else, that no foreign rule changed
// (the lab looks at every change), and that Done never claims too much.
func TestWalk(t *testing.T) {
	const moves = 400
	rng := rand.New(rand.NewPCG(11, 12))
	l := newLab(t, ec2fake.Options{RuleLimit: 16})
	for move := range moves {
		want := randomOpenings(rng)
		l.disturb(rng)
		l.ec2.Intercept(randomFaults(rng))
		if rng.IntN(3) == 0 {
			l.ec2.Freeze(1 + rng.IntN(3))
		}
		l.struggle(want)
		l.ec2.Intercept(nil)
		l.ec2.Thaw()
		l.reach(want) // a list that lagged behind may have looked right
		l.wantOurs(slices.DeleteFunc(want, l.servedByOthers))
		if t.Failed() {
			t.Fatalf("after move %d", move)
		}
	}
	if calls := l.ec2.Calls(); len(calls) < 4*moves {
		t.Errorf("only %d calls: the walk is too easy", len(calls))
	}
}

// struggle repeats step through faults until there is nothing to do.
func (l *lab) struggle(want []portsnare.Opening) {
	l.t.Helper()
	for range 40 {
		plan, done, err := l.step(want)
		l.wantTrue(plan, done)
		switch {
		case err == nil && plan.Empty():
			return
		case err != nil && !portsnare.Retryable(err) && !errors.Is(err, portsnare.Conflict):
			l.t.Fatal(err)
		}
	}
	l.t.Fatal("not done in 40 steps")
}

// wantTrue checks that what Done claims is so, and in the plan.
func (l *lab) wantTrue(plan portsnare.Plan, done portsnare.Done) {
	l.t.Helper()
	standing := l.ours()
	for _, o := range done.Opened {
		if !slices.Contains(standing, o) || !slices.Contains(plan.Open, o) {
			l.t.Errorf("%s was not opened, or not planned:\n%s", o, plan)
		}
	}
	for _, r := range done.Closed {
		if slices.Contains(standing, r.Opening) || !slices.Contains(plan.Close, r) {
			l.t.Errorf("%s was not closed, or not planned:\n%s", r.Opening, plan)
		}
	}
}

// servedByOthers reports whether a foreign rule admits just o.
func (l *lab) servedByOthers(o portsnare.Opening) bool {
	return slices.ContainsFunc(l.foreign, func(r ec2fake.Rule) bool {
		return r.Protocol == "tcp" && r.FromPort == int(o.Range.From) && r.ToPort == int(o.Range.To) && r.CIDR == o.Source
	})
}

// randomOpenings returns up to 10 for each family in a port space so small that
// they often meet.
func randomOpenings(rng *rand.Rand) []portsnare.Opening {
	var ranges []portsnare.PortRange
	for range rng.IntN(11) {
		from := uint16(100 + rng.IntN(15))
		ranges = append(ranges, portsnare.PortRange{Protocol: portsnare.TCP, From: from, To: from + uint16(rng.IntN(3))})
	}
	sources := []netip.Prefix{anyV4, anyV6}
	return portsnare.OpeningsOf(ranges, sources[rng.IntN(2):]...)
}

// disturb lets a human do something: open a port, close it again, remove, edit
// or double a rule of ours.
func (l *lab) disturb(rng *rand.Rand) {
	l.t.Helper()
	all := l.ec2.Rules(l.group)
	var ours []ec2fake.Rule
	for _, r := range all {
		if r.Tags["portsnare"] == string(mark) {
			ours = append(ours, r)
		}
	}
	port := 100 + rng.IntN(15)
	fresh := ec2fake.Rule{Protocol: "tcp", FromPort: port, ToPort: port, CIDR: portsnare.AnySource()[rng.IntN(2)]}
	taken := slices.ContainsFunc(all, func(r ec2fake.Rule) bool {
		return r.FromPort == fresh.FromPort && r.ToPort == fresh.ToPort && r.CIDR == fresh.CIDR
	})
	switch what := rng.IntN(6); {
	case what == 0 && len(l.foreign) < 6 && !taken:
		l.human(fresh)
	case what == 1 && len(l.foreign) > 2:
		gone := l.foreign[2]
		l.foreign = slices.Delete(l.foreign, 2, 3)
		noError(l.t, l.ec2.RemoveRule(l.group, gone.ID))
	case what == 2 && len(ours) > 0:
		noError(l.t, l.ec2.RemoveRule(l.group, ours[rng.IntN(len(ours))].ID))
	case what == 3 && len(ours) > 0 && !taken:
		edited := ours[rng.IntN(len(ours))]
		edited.FromPort, edited.ToPort = fresh.FromPort, fresh.ToPort
		if edited.CIDR == fresh.CIDR {
			noError(l.t, l.ec2.EditRule(l.group, edited))
		}
	case what == 4 && !taken && len(ours) < 16:
		fresh.Tags = map[string]string{"portsnare": string(mark)}
		fresh.Description = "portsnare: trap of group web, do not edit"
		_, err := l.ec2.AddRule(l.group, fresh)
		if _, full := errors.AsType[*ec2fake.Error](err); err != nil && !full {
			l.t.Fatal(err)
		}
	}
}

// randomFaults returns a hook by which some of the next calls fail.
func randomFaults(rng *rand.Rand) ec2fake.Hook {
	before := []http.Handler{ec2fake.Drop, ec2fake.Throttled, ec2fake.InternalError, ec2fake.Unavailable, ec2fake.BadGateway}
	after := []http.Handler{ec2fake.Drop, ec2fake.InternalError, ec2fake.BadGateway}
	var hooks []ec2fake.Hook
	for range rng.IntN(4) {
		action := []string{"", authorize, modify, revoke, "DescribeSecurityGroupRules"}[rng.IntN(5)]
		if rng.IntN(2) == 0 {
			hooks = append(hooks, ec2fake.First(1+rng.IntN(2), ec2fake.Before, action, before[rng.IntN(len(before))]))
		} else {
			hooks = append(hooks, ec2fake.First(1+rng.IntN(2), ec2fake.After, action, after[rng.IntN(len(after))]))
		}
	}
	return func(ctx context.Context, stage ec2fake.Stage, call ec2fake.Call) http.Handler {
		for _, hook := range hooks {
			if h := hook(ctx, stage, call); h != nil {
				return h
			}
		}
		return nil
	}
}
