package openstack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"

	"github.com/portsnare/portsnare"
)

// short tells the calls from the nth on without what differs from run to run.
func (l *lab) short(n int) []string {
	var told []string
	for _, call := range l.line.made(n) {
		method, path, _ := strings.Cut(call, " /v2.0/")
		resource, _, _ := strings.Cut(path, "/")
		told = append(told, method+" "+resource)
	}
	return told
}

// A rotation of ten traps for both families: every step reads and then writes
// once for what opens and once for each rule that closes.
func TestApplyCalls(t *testing.T) {
	l := newLab(t)
	some := func(first, n int) []portsnare.Opening {
		var ranges []string
		for i := range n {
			ranges = append(ranges, fmt.Sprintf("%d/tcp", first+2*i))
		}
		return dual(t, ranges...)
	}
	read, create, remove := "GET security-groups", "POST security-group-rules", "DELETE security-group-rules"
	both := append(some(1000, 10), some(2000, 10)...)
	for _, tt := range []struct {
		name string
		want []portsnare.Opening
		made []string
	}{
		{"the first", some(1000, 10), []string{read, read, create}},
		{"opened", both, []string{read, read, create}},
		{"closed", some(2000, 10), append([]string{read, read}, slices.Repeat([]string{remove}, 20)...)},
		{"nothing", some(2000, 10), []string{read}},
		{"at once", some(3000, 2), append([]string{read, read, "GET quotas", create}, slices.Repeat([]string{remove}, 20)...)},
	} {
		before := len(l.line.made(0))
		_, _, err := l.step(tt.want)
		noError(t, err)
		if d := cmp.Diff(tt.made, l.short(before)); d != "" {
			t.Errorf("%s: calls (-want +got):\n%s", tt.name, d)
		}
	}
}

// Where the quota has no room for the old and the new, no more of the old goes
// first than must.
func TestApplyAtTheQuota(t *testing.T) {
	create, remove := "POST security-group-rules", "DELETE security-group-rules"
	for _, tt := range []struct {
		name string
		room int
		made []string
		kind portsnare.Kind
	}{
		{"room for both", 8, []string{create, remove, remove, remove, remove}, ""},
		{"room for one", 5, []string{remove, remove, remove, create, remove}, ""},
		{"no room", 4, []string{remove, remove, remove, remove, create}, ""},
		{"too little whatever goes", 3, []string{create}, portsnare.LimitExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			l.setRoom(max(tt.room, 4))
			l.reach(dual(t, "1/tcp", "3/tcp"))
			if tt.room < 4 {
				l.setQuota(4 + 2 + tt.room) // the default group's, ours outbound
			}
			before := len(l.line.made(0))
			plan, done, err := l.step(dual(t, "5/tcp", "7/tcp"))
			if got := portsnare.KindOf(err); got != tt.kind {
				t.Errorf("kind %q, want %q: %v", got, tt.kind, err)
			}
			made := l.short(before)[3:]
			if d := cmp.Diff(tt.made, made); d != "" {
				t.Errorf("writes (-want +got):\n%s", d)
			}
			if err != nil && done.Writes+len(done.Opened)+len(done.Closed) > 0 {
				t.Errorf("done %+v beside the error, want nothing", done)
			}
			if err == nil && (done.Writes != 5 || len(done.Opened) != len(plan.Open) || len(done.Closed) != len(plan.Close)) {
				t.Errorf("done %+v of\n%s", done, plan)
			}
		})
	}
}

// Somebody else took the room between the look at the quota and the write.
func TestApplyQuotaTaken(t *testing.T) {
	l := newLab(t)
	l.setRoom(4)
	l.reach(v4(t, "1/tcp"))
	l.before("POST", func() {
		for _, port := range []string{"11/tcp", "13/tcp"} {
			l.add(optsOf(v4(t, port)[0]))
		}
	})
	_, done, err := l.step(v4(t, "1/tcp", "3/tcp", "5/tcp"))
	wantError(t, err, portsnare.LimitExceeded,
		"openstack: open ports in "+l.group+": Quota exceeded for resources: ['security_group_rule'] (OverQuota)",
		"ask for a higher quota of security group rules for the project (`openstack quota show`), or open fewer traps; every rule of the project counts, outbound ones too")
	if done.Writes != 0 {
		t.Errorf("done %+v, want nothing", done)
	}
}

// before lets something happen right before the next call with a method.
func (l *lab) before(method string, happens func()) {
	once := false
	l.line.replace(func(r *http.Request) *answer {
		if r.Method == method && !once {
			once = true
			happens()
		}
		return nil
	})
}

// Whatever a plan claims, the rule that stands there decides.
func TestApplyRefusesAPlanThatLies(t *testing.T) {
	l := newLab(t)
	ssh := l.add(optsOf(v4(t, "22/tcp")[0]))
	other := optsOf(v4(t, "9/tcp")[0])
	other.Description = "portsnare: trap of group db, do not edit"
	theirs := l.add(other)
	l.reach(v4(t, "5/tcp"))
	rules, err := l.Rules(context.Background())
	noError(t, err)
	ours, _ := portsnare.Ours(rules, mark)
	claim := func(id string, o portsnare.Opening) portsnare.Plan {
		return portsnare.Plan{Open: v4(t, "6/tcp"), Close: []portsnare.Rule{ours[0], {ID: id, Opening: o, Mark: mark}}}
	}
	for _, tt := range []struct {
		name string
		plan portsnare.Plan
		text string
	}{
		{"somebody's", claim(ssh, v4(t, "22/tcp")[0]),
			"rule " + ssh + " is no longer what it was when the plan was made"},
		{"another group's", claim(theirs, v4(t, "9/tcp")[0]),
			"rule " + theirs + " is no longer what it was when the plan was made"},
		{"ours, but another", portsnare.Plan{Close: []portsnare.Rule{{ID: ours[0].ID, Opening: v4(t, "7/tcp")[0], Mark: mark}}},
			"rule " + ours[0].ID + " is no longer what it was when the plan was made"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(l.line.made(0))
			done, err := l.Apply(context.Background(), tt.plan)
			wantError(t, err, portsnare.Conflict, "openstack: close a rule of "+l.group+": "+tt.text, "")
			if done.Writes != 0 || len(writes(l.line.made(before))) != 0 {
				t.Errorf("done %+v, writes %v; want none", done, writes(l.line.made(before)))
			}
		})
	}
}

// A rule that was made, or deleted, between the last look and the write.
func TestApplyRaces(t *testing.T) {
	t.Run("opened", func(t *testing.T) {
		l := newLab(t)
		var made string
		l.before("POST", func() { made = l.add(optsOf(v4(t, "5/tcp")[0])) })
		_, done, err := l.step(v4(t, "3/tcp", "5/tcp"))
		wantError(t, err, portsnare.Conflict, "openstack: open ports in "+l.group+
			": Security group rule already exists. Rule id is "+made+" (SecurityGroupRuleExists)", "")
		if done.Writes+len(done.Opened) != 0 {
			t.Errorf("done %+v, want nothing", done)
		}
		l.reach(v4(t, "3/tcp", "5/tcp"))
	})
	t.Run("closed", func(t *testing.T) {
		l := newLab(t)
		l.reach(v4(t, "3/tcp", "5/tcp"))
		plan, err := l.Rules(context.Background())
		noError(t, err)
		l.before("DELETE", func() { noError(t, l.human.Remove(plan[0].ID)) })
		_, done, err := l.step(nil)
		noError(t, err)
		if done.Writes != 1 || len(done.Closed) != 1 || done.Closed[0].ID != plan[1].ID {
			t.Errorf("done %+v, want only the one that was not gone", done)
		}
	})
}

// Somebody who may write to every project would make rules in his own, if they
// did not name that of the group.
func TestApplyNamesTheProject(t *testing.T) {
	l := newLab(t)
	l.reach(dual(t, "5/tcp"))
	var asked struct {
		Rules []rules.SecGroupRule `json:"security_group_rules"`
	}
	noError(t, json.Unmarshal(l.line.posted(), &asked))
	if len(asked.Rules) != 2 || asked.Rules[0].ProjectID != l.project || asked.Rules[1].ProjectID != l.project {
		t.Errorf("asked for %+v, want two rules of %s", asked.Rules, l.project)
	}
}

// A rule for every protocol that a human gave our mark is told as two, and goes
// as one.
func TestApplyClosesWhatIsToldAsTwo(t *testing.T) {
	l := newLab(t)
	l.add(rules.CreateOpts{EtherType: rules.EtherType4, Description: marked})
	_, done, err := l.step(nil)
	noError(t, err)
	if done.Writes != 1 || len(done.Closed) != 2 {
		t.Errorf("done %+v, want one write and both rules closed", done)
	}
	l.reach(nil)
}
