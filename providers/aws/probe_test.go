package aws_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

// TestPermissions takes away one permission after the other. Nothing may change
// by asking.
func TestPermissions(t *testing.T) {
	for _, tt := range []struct {
		without string // actions
		want    string
	}{
		{"", ""},
		{"DescribeNetworkInterfaces", ""}, // not needed
		{"DescribeSecurityGroups", "ec2:DescribeSecurityGroups"},
		{"DescribeSecurityGroupRules", "ec2:DescribeSecurityGroupRules"},
		{"AuthorizeSecurityGroupIngress", "ec2:AuthorizeSecurityGroupIngress"},
		{"CreateTags", "ec2:CreateTags (on new rules)"},
		{"AuthorizeSecurityGroupIngress CreateTags", "ec2:AuthorizeSecurityGroupIngress"},
		{"ModifySecurityGroupRules", "ec2:ModifySecurityGroupRules"},
		{"RevokeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"},
		{"ModifySecurityGroupRules RevokeSecurityGroupIngress", "ec2:ModifySecurityGroupRules, ec2:RevokeSecurityGroupIngress"},
	} {
		t.Run(tt.without, func(t *testing.T) {
			denied := strings.Fields(tt.without)
			l := newLab(t, ec2fake.Options{Allow: func(_, action string) bool { return !slices.Contains(denied, action) }})
			if err := l.Authenticate(t.Context()); err != nil {
				t.Errorf("authenticate: %v", err)
			}
			err := l.Permissions(t.Context())
			got := ""
			if err != nil {
				got = strings.TrimPrefix(err.Error(), "aws: use "+l.group+": the credential lacks ")
			}
			if got != tt.want || (err != nil) != errors.Is(err, portsnare.Denied) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			for _, c := range l.ec2.Calls() {
				if !c.DryRun || c.Committed {
					t.Errorf("%s was no trial", c.Action)
				}
			}
		})
	}
}

func TestAuthenticate(t *testing.T) {
	l := newLab(t, ec2fake.Options{AccessKeyIDs: []string{"AKIASOMEBODY00000000"}})
	for name, ask := range map[string]func() error{
		"authenticate": func() error { return l.Authenticate(t.Context()) },
		"permissions":  func() error { return l.Permissions(t.Context()) },
	} {
		if err := ask(); !errors.Is(err, portsnare.Denied) || !strings.Contains(err.Error(), "(AuthFailure)") {
			t.Errorf("%s: error %v, want one that the key is not known", name, err)
		}
	}
}

// TestPermissionsByTrial: an endpoint that knows no trials is asked no more.
func TestPermissionsByTrial(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	l.ec2.Intercept(ec2fake.First(99, ec2fake.Before, "DescribeSecurityGroups", emptyAnswer))
	if err := l.Permissions(t.Context()); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("error %v, want one that the endpoint carries trials out", err)
	}
	if calls := l.ec2.Calls(); len(calls) != 1 {
		t.Errorf("%d calls, want 1", len(calls))
	}
}

// TestAround: interfaces that bear the group say what is beside it.
func TestAround(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	l.ec2.OnChange(nil) // it is other groups that change
	beside, elsewhere := l.ec2.CreateGroup("beside"), l.ec2.CreateGroup("elsewhere")
	for i, group := range []string{beside, elsewhere} {
		if _, err := l.ec2.AddRule(group, ec2fake.Rule{Protocol: "tcp", FromPort: 80 + i, ToPort: 80 + i, CIDR: anyV4}); err != nil {
			t.Fatal(err)
		}
	}
	l.ec2.Attach(elsewhere)
	if attached, rules, err := l.Around(t.Context()); attached || len(rules) > 0 || err != nil {
		t.Errorf("got %t, %v, %v, want a group that nothing bears", attached, rules, err)
	}
	l.ec2.Attach(l.group)
	l.ec2.Attach(beside, l.group)
	attached, rules, err := l.Around(t.Context())
	if !attached || err != nil {
		t.Errorf("got %t, %v, want a group that is borne", attached, err)
	}
	if d := cmp.Diff("80/tcp", portsnare.OpenPorts(rules).String()); d != "" {
		t.Errorf("beside (-want +got):\n%s", d)
	}
}

func TestAroundDenied(t *testing.T) {
	l := newLab(t, ec2fake.Options{Allow: func(_, action string) bool { return action != "DescribeNetworkInterfaces" }})
	_, _, err := l.Around(t.Context())
	if !errors.Is(err, portsnare.Denied) || !strings.HasPrefix(portsnare.HintOf(err), "allow ec2:DescribeNetworkInterfaces on *") {
		t.Errorf("error %v, hint %q", err, portsnare.HintOf(err))
	}
}

// TestWrites: what is told beforehand is what Apply then does.
func TestWrites(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	for _, ports := range []string{"1000-1009/tcp", "2000/tcp,3000/tcp", "3000/tcp", ""} {
		set, err := portsnare.ParsePortSet(ports)
		if err != nil {
			t.Fatal(err)
		}
		rules, err := l.Rules(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		plan := portsnare.Diff(rules, portsnare.Wanted{Mark: mark, Openings: portsnare.OpeningsOf(set.Ranges(), anyV4, anyV6)})
		done, err := l.Apply(t.Context(), plan)
		if got := l.Writes(plan); got != done.Writes || err != nil {
			t.Errorf("%q: %d writes told, %d made, error %v", ports, got, done.Writes, err)
		}
	}
}

// emptyAnswer is a success.
var emptyAnswer = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	fmt.Fprint(w, `<DescribeSecurityGroupsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"/>`)
})
