package digitalocean_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/dofake"
)

const (
	post = "POST /v2/firewalls/ID/rules"
	del  = "DELETE /v2/firewalls/ID/rules"
	put  = "PUT /v2/firewalls/ID"
)

func allow(ports string, addresses ...string) dofake.Rule {
	return dofake.Rule{Protocol: "tcp", Ports: ports, Action: "allow", Sources: from(addresses...)}
}

// What is sent, and in which order: first what opens, save where there is no
// room or a rule takes the place of one for the same ports.
func TestApplyInOrder(t *testing.T) {
	const anyone4, anyone6 = "0.0.0.0/0", "::/0"
	for _, tt := range []struct {
		name     string
		outbound int
		standing []dofake.Rule
		want     []string
		v4Only   bool
		rules    []string // calls
		after    []string // ports, and how many sources
	}{
		{"opened", 3, nil, []string{"5/tcp", "7/tcp"}, false, []string{post}, []string{"5 2", "7 2"}},
		{"replaced", 3, []dofake.Rule{allow("5", anyone4, anyone6)}, []string{"7/tcp"}, false, []string{post, del}, []string{"7 2"}},
		{"closed", 3, []dofake.Rule{allow("5", anyone4, anyone6)}, nil, false, []string{del}, nil},
		{"no room for both", 48, []dofake.Rule{allow("5", anyone4, anyone6), allow("6", anyone4, anyone6)}, []string{"7/tcp", "8/tcp"}, false,
			[]string{del, post}, []string{"7 2", "8 2"}},
		{"a family added", 3, []dofake.Rule{allow("5", anyone4)}, []string{"5/tcp"}, false, []string{del, post}, []string{"5 2"}},
		{"a family taken away", 3, []dofake.Rule{allow("5", anyone4, anyone6)}, []string{"5/tcp"}, true, []string{del, post}, []string{"5 1"}},
		{"the other family", 3, []dofake.Rule{allow("5", anyone6)}, []string{"5/tcp"}, true, []string{post, del}, []string{"5 1"}},
		{"somebody's double", 3, []dofake.Rule{allow("5", anyone4), allow("5", anyone4, anyone6)}, []string{"5/tcp"}, false, []string{del}, []string{"5 2"}},
		{"somebody's halves", 3, []dofake.Rule{allow("5", anyone4), allow("5", anyone6)}, []string{"5/tcp"}, false, nil, []string{"5 1", "5 1"}},
		{"somebody's halves and a double", 3, []dofake.Rule{allow("5", anyone4), allow("5", anyone6), allow("5", anyone4, anyone6)}, nil, false,
			[]string{del, del, del}, nil},
	} {
		for _, replace := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.name, " ", replace), func(t *testing.T) {
				l := newLab(t, dofake.Options{}, tt.outbound)
				l.options.Replace = replace
				l.Firewall = l.open(l.options)
				for _, r := range tt.standing {
					noError(t, l.do.AddRule(l.id, r))
				}
				want := dual(t, tt.want...)
				if tt.v4Only {
					want = v4(t, tt.want...)
				}
				_, done, err := l.step(want)
				noError(t, err)
				calls := tt.rules
				if replace && len(calls) > 0 {
					calls = []string{put}
				}
				if d := cmp.Diff(calls, l.writes(0)); d != "" || done.Writes != len(calls) {
					t.Errorf("Done counts %d writes (-want +got):\n%s", done.Writes, d)
				}
				var after []string
				for _, r := range l.do.Firewall(l.id).Inbound {
					after = append(after, fmt.Sprint(r.Ports, " ", len(r.Sources.Addresses)))
				}
				if d := cmp.Diff(tt.after, after, cmpopts.EquateEmpty()); d != "" {
					t.Errorf("rules (-want +got):\n%s", d)
				}
			})
		}
	}
}

// What stands already or is gone already is neither sent nor claimed.
func TestApplyWhatIsSo(t *testing.T) {
	l := newLab(t, dofake.Options{}, 0)
	l.reach(dual(t, "5/tcp", "6/tcp"))
	rules, err := l.Rules(t.Context())
	noError(t, err)
	ours, _ := portsnare.Ours(rules, mark)
	l.reach(dual(t, "6/tcp"))
	calls := len(l.do.Calls())
	done, err := l.Apply(t.Context(), portsnare.Plan{Open: dual(t, "6/tcp"), Close: ours[:2]})
	noError(t, err)
	if n := len(l.writes(calls)); n != 0 || done.Writes != 0 || len(done.Opened)+len(done.Closed) != 0 {
		t.Errorf("%d writes, done %+v; want none", n, done)
	}
}

// The API is not asked about an empty plan.
func TestApplyNothing(t *testing.T) {
	l := newLab(t, dofake.Options{}, 0)
	done, err := l.Apply(t.Context(), portsnare.Plan{Held: []portsnare.Rule{{ID: "tcp 22 from ::/0"}}})
	noError(t, err)
	if len(l.do.Calls()) != 0 || done.Writes != 0 {
		t.Errorf("calls %v, done %+v; want none", l.do.Calls(), done)
	}
}

// A source list that no rule can hold is not sent.
func TestTooManySources(t *testing.T) {
	l := newLab(t, dofake.Options{}, 0)
	var sources []portsnare.Source
	for address := anyV4.Addr(); len(sources) < 1001; address = address.Next() {
		sources = append(sources, netip.PrefixFrom(address, 32))
	}
	_, _, err := l.step(portsnare.OpeningsOf(parse(t, "5/tcp"), sources...))
	wantError(t, err, portsnare.LimitExceeded,
		"digitalocean: open ports in "+l.id+": a rule would have 1001 sources; 1000 are allowed", "open the traps to fewer sources")
}
