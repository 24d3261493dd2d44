package aws_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

// A reply that is lost leaves open whether the write was made. Either way the
// same plan again is harmless, and reading and planning anew ends where it
// should, without a rule too many.
func TestLostReply(t *testing.T) {
	before := dual(t, "5/tcp", "6/tcp")
	tests := []struct {
		action string
		after  []portsnare.Opening
		again  portsnare.Kind // of the same plan after the change was made
	}{
		{authorize, dual(t, "5/tcp", "6/tcp", "7/tcp"), portsnare.Conflict},
		{modify, dual(t, "8/tcp", "9/tcp"), ""},
		{revoke, dual(t, "6/tcp"), portsnare.Conflict},
	}
	for _, tt := range tests {
		for _, stage := range []ec2fake.Stage{ec2fake.Before, ec2fake.After} {
			t.Run(tt.action+" "+stage.String(), func(t *testing.T) {
				l := newLab(t, ec2fake.Options{})
				l.reach(before)
				l.ec2.Intercept(ec2fake.First(1, stage, tt.action, ec2fake.Drop))
				plan, done, err := l.step(tt.after)
				wantError(t, err, portsnare.Transient, "", "")
				wantDone(t, done, portsnare.Plan{}, 0)
				if stage == ec2fake.After {
					_, err := l.Apply(context.Background(), plan)
					if got := portsnare.KindOf(err); got != tt.again {
						t.Errorf("again: kind %q, want %q: %v", got, tt.again, err)
					}
				}
				l.reach(tt.after)
				l.wantOurs(tt.after)
			})
		}
	}
}

// EC2 may show a change late. What is planned from the old list is refused or
// changes nothing, until the new one is seen.
func TestStaleList(t *testing.T) {
	for name, after := range map[string][]portsnare.Opening{
		"opened":  dual(t, "5/tcp", "6/tcp", "7/tcp"),
		"swapped": dual(t, "8/tcp", "9/tcp"),
		"closed":  dual(t, "6/tcp"),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, ec2fake.Options{})
			l.reach(dual(t, "5/tcp", "6/tcp"))
			l.ec2.Freeze(3)
			for i := range 3 {
				_, _, err := l.step(after)
				if i == 0 {
					noError(t, err)
				}
				if err != nil && portsnare.KindOf(err) != portsnare.Conflict {
					t.Errorf("step %d: %v, want a conflict", i, err)
				}
				l.wantOurs(after)
			}
			l.reach(after)
			l.wantOurs(after)
		})
	}
}

func TestThrottledThenDone(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	l.ec2.Intercept(ec2fake.First(3, ec2fake.Before, "", ec2fake.Throttled))
	l.reach(dual(t, "5/tcp"))
	l.wantOurs(dual(t, "5/tcp"))
}

// Between reading and writing somebody opened the same port, or removed the
// rule that is to go.
func TestRace(t *testing.T) {
	tests := []struct {
		name  string
		race  func(l *lab, ours ec2fake.Rule)
		after []portsnare.Opening
		ours  []portsnare.Opening
	}{
		{"opened", func(l *lab, ours ec2fake.Rule) {
			l.human(ec2fake.Rule{Protocol: "tcp", FromPort: 7, ToPort: 7, CIDR: anyV4})
		}, v4(t, "5/tcp", "7/tcp", "8/tcp"), v4(t, "5/tcp", "8/tcp")},
		{"opened, in place", func(l *lab, ours ec2fake.Rule) {
			l.human(ec2fake.Rule{Protocol: "tcp", FromPort: 7, ToPort: 7, CIDR: anyV4})
		}, v4(t, "7/tcp"), nil},
		{"closed", func(l *lab, ours ec2fake.Rule) {
			noError(l.t, l.ec2.RemoveRule(l.group, ours.ID))
		}, nil, nil},
		{"closed, in place", func(l *lab, ours ec2fake.Rule) {
			noError(l.t, l.ec2.RemoveRule(l.group, ours.ID))
		}, v4(t, "7/tcp"), v4(t, "7/tcp")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, ec2fake.Options{})
			l.reach(v4(t, "5/tcp"))
			rules, err := l.Rules(context.Background())
			noError(t, err)
			plan := portsnare.Diff(rules, portsnare.Wanted{Mark: mark, Openings: tt.after, Protected: protected})
			tt.race(l, l.ec2.Rules(l.group)[2])
			done, err := l.Apply(context.Background(), plan)
			wantError(t, err, portsnare.Conflict, "", "")
			wantDone(t, done, portsnare.Plan{}, 0)
			l.reach(tt.after)
			l.wantOurs(tt.ours)
		})
	}
}

// What was done before a write that failed is told.
func TestDoneBesideAnError(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	l.reach(v4(t, "1/tcp", "2/tcp"))
	l.ec2.Intercept(ec2fake.First(1, ec2fake.Before, authorize, ec2fake.Throttled))
	plan, done, err := l.step(v4(t, "11/tcp", "12/tcp", "13/tcp"))
	wantError(t, err, portsnare.RateLimited, "", "")
	wantDone(t, done, portsnare.Plan{Open: plan.Open[:2], Close: plan.Close}, 1)

	before := len(l.ec2.Calls())
	_, done, err = l.step(v4(t, "11/tcp", "12/tcp", "13/tcp"))
	noError(t, err)
	wantDone(t, done, portsnare.Plan{Open: plan.Open[2:]}, 1)
	if d := cmp.Diff([]string{authorize}, l.writes(before)); d != "" {
		t.Errorf("writes (-want +got):\n%s", d)
	}
}
