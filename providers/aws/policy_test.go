package aws_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare/providers/aws"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

// allowed returns the actions that the policy allows, sorted.
func allowed(t *testing.T) []string {
	t.Helper()
	var policy struct {
		Statement []struct{ Action json.RawMessage }
	}
	noError(t, json.Unmarshal([]byte(aws.Policy), &policy))
	var actions []string
	for _, s := range policy.Statement {
		var one string
		var several []string
		if json.Unmarshal(s.Action, &one) == nil {
			several = []string{one}
		} else {
			noError(t, json.Unmarshal(s.Action, &several))
		}
		actions = append(actions, several...)
	}
	slices.Sort(actions)
	return actions
}

// The policy suffices for all that is ever called, and allows nothing more.
// CreateTags is what EC2 asks for where rules are born with tags.
func TestPolicy(t *testing.T) {
	actions := allowed(t)
	l := newLab(t, ec2fake.Options{Allow: func(_, action string) bool {
		return slices.Contains(actions, "ec2:"+action)
	}})
	l.reach(dual(t, "5/tcp"))
	l.reach(dual(t, "6/tcp"))
	l.reach(nil)
	l.ec2.DeleteGroup(l.group)
	if _, err := l.Rules(t.Context()); err == nil {
		t.Error("an absent group is no error")
	}
	called := []string{"ec2:CreateTags"}
	for _, call := range l.ec2.Calls() {
		if action := "ec2:" + call.Action; !slices.Contains(called, action) {
			called = append(called, action)
		}
	}
	slices.SortFunc(called, strings.Compare)
	if d := cmp.Diff(called, actions); d != "" {
		t.Errorf("actions (-called +allowed):\n%s", d)
	}
}
