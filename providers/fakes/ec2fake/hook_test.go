package ec2fake_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

// outcomes is the code of each call so far, with a "+" if it changed a group.
func (l *lab) outcomes() []string {
	var out []string
	for _, c := range l.Calls() {
		if c.Committed {
			c.Code += "+"
		}
		out = append(out, c.Code)
	}
	return out
}

// What the SDK's own retries make of each fault.
func TestFaultsMetByARetryingSDK(t *testing.T) {
	tests := []struct {
		name  string
		times int
		stage ec2fake.Stage
		fault http.Handler
		want  []string
		fails string // code of the SDK's error
	}{
		{"throttled, then well", 2, ec2fake.Before, ec2fake.Throttled, []string{"RequestLimitExceeded", "RequestLimitExceeded", "+"}, ""},
		{"throttled on", 3, ec2fake.Before, ec2fake.Throttled, slices.Repeat([]string{"RequestLimitExceeded"}, 3), "RequestLimitExceeded"},
		{"unavailable", 1, ec2fake.Before, ec2fake.Unavailable, []string{"Unavailable", "+"}, ""},
		{"internal error", 1, ec2fake.Before, ec2fake.InternalError, []string{"InternalError", "+"}, ""},
		{"a proxy's page", 1, ec2fake.Before, ec2fake.BadGateway, []string{"Intercepted", "+"}, ""},
		{"lost request", 1, ec2fake.Before, ec2fake.Drop, []string{"Intercepted", "+"}, ""},
		{"lost reply", 1, ec2fake.After, ec2fake.Drop, []string{"+", "InvalidPermission.Duplicate"}, "InvalidPermission.Duplicate"},
		{"error after the fact", 1, ec2fake.After, ec2fake.InternalError, []string{"+", "InvalidPermission.Duplicate"}, "InvalidPermission.Duplicate"},
		{"another error", 1, ec2fake.Before, &ec2fake.Error{Status: 400, Code: "Blocked", Message: "x"}, []string{"Blocked"}, "Blocked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, ec2fake.Options{})
			l.client = l.sdk(retrying)
			l.Intercept(ec2fake.First(tt.times, tt.stage, "AuthorizeSecurityGroupIngress", tt.fault))
			_, err := l.authorize(tcp(80, everyone))
			var api smithy.APIError
			if tt.fails == "" {
				noError(t, err)
			} else if !errors.As(err, &api) || api.ErrorCode() != tt.fails {
				t.Errorf("error = %v, want %s", err, tt.fails)
			}
			if d := cmp.Diff(tt.want, l.outcomes()); d != "" {
				t.Errorf("calls (-want +got):\n%s", d)
			}
		})
	}
}

func TestFirstSparesOtherCalls(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	l.Intercept(ec2fake.First(1, ec2fake.Before, "RevokeSecurityGroupIngress", ec2fake.Throttled))
	out, err := l.authorize(tcp(80, everyone))
	noError(t, err)
	_, err = l.revoke(*out.SecurityGroupRules[0].SecurityGroupRuleId)
	wantError(t, err, 503, "RequestLimitExceeded", "Request limit exceeded.")

	l.Intercept(ec2fake.First(1, ec2fake.Before, "", ec2fake.Throttled))
	_, err = l.authorize(tcp(81, everyone))
	wantError(t, err, 503, "RequestLimitExceeded")
	l.Intercept(nil)
	_, err = l.authorize(tcp(81, everyone))
	noError(t, err)
}

func TestAHookBlocksAroundTheCommit(t *testing.T) {
	for _, stage := range []ec2fake.Stage{ec2fake.Before, ec2fake.After} {
		t.Run(stage.String(), func(t *testing.T) {
			l := newLab(t, ec2fake.Options{})
			reached, release := make(chan ec2fake.Call), make(chan struct{})
			l.Intercept(func(_ context.Context, at ec2fake.Stage, c ec2fake.Call) http.Handler {
				if at == stage {
					reached <- c
					<-release
				}
				return nil
			})
			done := make(chan error)
			go func() {
				_, err := l.authorize(tcp(80, everyone))
				done <- err
			}()
			call := <-reached
			committed := stage == ec2fake.After
			if call.Committed != committed || call.GroupID != l.group {
				t.Errorf("call = %+v, want Committed %v of %s", call, committed, l.group)
			}
			if got := len(l.Rules(l.group)) == 1; got != committed {
				t.Errorf("committed = %v, want %v", got, committed)
			}
			close(release)
			noError(t, <-done)
			l.wantPorts(80)
		})
	}
}

func TestAHookSeesItsClientGo(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	reached, gone := make(chan struct{}), make(chan struct{})
	l.Intercept(func(ctx context.Context, _ ec2fake.Stage, _ ec2fake.Call) http.Handler {
		close(reached)
		<-ctx.Done()
		close(gone)
		return ec2fake.Drop
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-reached
		cancel()
	}()
	_, err := l.client.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want a cancelled context", err)
	}
	<-gone
}

// The log says who did what to which group, and what came of it.
func TestCalls(t *testing.T) {
	when := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	l := newLab(t, ec2fake.Options{Now: func() time.Time { return when }})
	ctx := context.Background()
	_, err := l.client.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{l.group}})
	noError(t, err)
	_, err = l.client.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{
		Filters: []types.Filter{where("tag:a", "b"), where("group-id", l.group)}})
	noError(t, err)
	_, err = l.authorize(tcp(80, everyone))
	noError(t, err)
	_, err = l.authorize(tcp(80, everyone))
	wantError(t, err, 400, "InvalidPermission.Duplicate")
	_, err = l.sdk(signedBy("AKIASTRANGER")).DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{})
	wantError(t, err, 401, "AuthFailure")

	call := func(seq int, action, group, code string, committed bool) ec2fake.Call {
		return ec2fake.Call{Seq: seq, Time: when, AccessKeyID: ec2fake.DefaultAccessKeyID, Region: "us-east-1",
			Action: action, GroupID: group, Code: code, Committed: committed}
	}
	want := []ec2fake.Call{
		call(1, "DescribeSecurityGroups", l.group, "", false),
		call(2, "DescribeSecurityGroupRules", l.group, "", false),
		call(3, "AuthorizeSecurityGroupIngress", l.group, "", true),
		call(4, "AuthorizeSecurityGroupIngress", l.group, "InvalidPermission.Duplicate", false),
		call(5, "DescribeSecurityGroups", "", "AuthFailure", false),
	}
	want[4].AccessKeyID = "AKIASTRANGER"
	if d := cmp.Diff(want, l.Calls()); d != "" {
		t.Errorf("Calls (-want +got):\n%s", d)
	}
}

func TestFreeze(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	wantSeen := func(when string, want ...int) {
		t.Helper()
		for n, w := range want {
			ids, _, err := l.ruleIDs(&ec2.DescribeSecurityGroupRulesInput{Filters: []types.Filter{where("group-id", l.group)}})
			noError(t, err)
			if got := len(ids) - 1; got != w { // without the outbound rule
				t.Errorf("%s, describe call %d: %d rules, want %d", when, n+1, got, w)
			}
		}
	}
	l.Freeze(2)
	l.add(consoleRule(80))
	wantSeen("frozen for two calls", 0, 0, 1)

	l.Freeze(0)
	l.add(consoleRule(81))
	_, err := l.authorize(tcp(81, everyone)) // a write knows better
	wantError(t, err, 400, "InvalidPermission.Duplicate")
	wantSeen("frozen", 1, 1, 1)
	l.Thaw()
	wantSeen("thawed", 2)
}
