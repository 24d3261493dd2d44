package ec2fake_test

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

func TestOnChangeRunsBeforeTheReply(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	var open []int
	l.OnChange(func(groupID string, rules []ec2fake.Rule) error {
		if groupID != l.group {
			t.Errorf("OnChange of %s, want %s", groupID, l.group)
		}
		open = nil
		for i := range rules {
			open = append(open, rules[i].FromPort)
			rules[i].FromPort = 0 // a copy of its own
		}
		return nil
	})
	wantOpen := func(want ...int) {
		t.Helper()
		if d := cmp.Diff(want, open); d != "" {
			t.Errorf("open (-want +got):\n%s", d)
		}
		l.wantPorts(want...)
	}
	out, err := l.authorize(tcp(80, everyone), tcp(81, everyone))
	noError(t, err)
	wantOpen(80, 81)
	id := *out.SecurityGroupRules[0].SecurityGroupRuleId
	noError(t, l.modify(move(id, 90)))
	wantOpen(90, 81)
	_, err = l.authorize(tcp(90, everyone))
	wantError(t, err, 400, "InvalidPermission.Duplicate")
	wantOpen(90, 81)
	_, err = l.revoke(id)
	noError(t, err)
	wantOpen(81)
}

func TestAFailingOnChangeLeavesTheChange(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	l.OnChange(func(string, []ec2fake.Rule) error { return errors.New("nft: no such table") })
	_, err := l.authorize(tcp(80, everyone))
	wantError(t, err, 500, "InternalError", "An internal error has occurred: nft: no such table")
	if d := cmp.Diff([]string{"InternalError+"}, l.outcomes()); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
	if id, err := l.AddRule(l.group, consoleRule(81)); err == nil || id == "" {
		t.Errorf("AddRule = %q, %v, want both", id, err)
	}
	l.wantPorts(80, 81)
}

// Changes from everywhere at once reach OnChange one by one, in their order,
// and none is lost.
func TestConcurrentChanges(t *testing.T) {
	l := newLab(t, ec2fake.Options{RuleLimit: 100})
	var sizes []int // not guarded: calls of OnChange never overlap
	l.OnChange(func(groupID string, rules []ec2fake.Rule) error {
		sizes = append(sizes, len(rules))
		for range 100 {
			runtime.Gosched() // let the others try
		}
		if got := len(l.Rules(groupID)); got != len(rules) {
			t.Errorf("the group has %d rules, OnChange was told %d", got, len(rules))
		}
		return nil
	})
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			if _, err := l.authorize(tcp(int32(1000+n), everyone)); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, err := l.AddRule(l.group, consoleRule(2000+n)); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, _, err := l.ruleIDs(&ec2.DescribeSecurityGroupRulesInput{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i, got := range sizes {
		if got != i+1 {
			t.Fatalf("OnChange saw %v rules, want 1, 2, 3, ...", sizes)
		}
	}
	if len(sizes) != 40 || len(l.Calls()) != 40 {
		t.Errorf("%d changes and %d calls, want 40 and 40", len(sizes), len(l.Calls()))
	}
}
