package openstack_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/addressgroups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/openstack"
)

func TestRulesTellsEverySort(t *testing.T) {
	l := newLab(t)
	addresses, err := addressgroups.Create(context.Background(), l.human.client,
		addressgroups.CreateOpts{Name: "office", Addresses: []string{"192.0.2.0/24"}}).Extract()
	noError(t, err)
	ports := func(o rules.CreateOpts, from, to int) rules.CreateOpts {
		o.PortRangeMin, o.PortRangeMax = from, to
		return o
	}
	four := func(protocol rules.RuleProtocol, prefix string) rules.CreateOpts {
		return rules.CreateOpts{EtherType: rules.EtherType4, Protocol: protocol, RemoteIPPrefix: prefix}
	}
	six := func(protocol rules.RuleProtocol, prefix string) rules.CreateOpts {
		return rules.CreateOpts{EtherType: rules.EtherType6, Protocol: protocol, RemoteIPPrefix: prefix}
	}
	ofGroup := ports(four("tcp", ""), 5432, 5432)
	ofGroup.RemoteGroupID = l.group
	ofAddresses := ports(four("tcp", ""), 5433, 5433)
	ofAddresses.RemoteAddressGroupID = addresses.ID
	described := func(port int, description string) rules.CreateOpts {
		o := ports(four("tcp", "0.0.0.0/0"), port, port)
		o.Description = description
		return o
	}
	var want []string
	for _, tt := range []struct {
		rule rules.CreateOpts
		want []string
	}{
		{ports(four("tcp", "0.0.0.0/0"), 8000, 8009), []string{"8000-8009/tcp from 0.0.0.0/0"}},
		{ports(six("tcp", "::/0"), 8005, 8100), []string{"8005-8100/tcp from ::/0"}},
		{ports(four("tcp", ""), 22, 22), []string{"22/tcp from 0.0.0.0/0"}},
		{ports(six("udp", ""), 22, 22), []string{"22/udp from ::/0"}},
		{ports(six("udp", "2001:DB8::5/32"), 53, 53), []string{"53/udp from 2001:db8::/32"}},
		{ports(four("17", "192.0.2.7/24"), 54, 54), []string{"54/udp from 192.0.2.0/24"}},
		{ports(four("6", "192.0.2.1"), 54, 54), []string{"54/tcp from 192.0.2.1/32"}},
		{four("tcp", "192.0.2.2/32"), []string{"1-65535/tcp from 192.0.2.2/32"}},
		{ports(four("udp", "192.0.2.2/32"), 1, 65535), []string{"1-65535/udp from 192.0.2.2/32"}},
		{four("", "198.51.100.0/24"), []string{"1-65535/tcp from 198.51.100.0/24", "1-65535/udp from 198.51.100.0/24"}},
		{six("", ""), []string{"1-65535/tcp from ::/0", "1-65535/udp from ::/0"}},
		{ofGroup, []string{"5432/tcp from a named source"}},
		{ofAddresses, []string{"5433/tcp from a named source"}},
		{ports(four("icmp", "0.0.0.0/0"), 8, 0), []string{"0/protocol-0 from 0.0.0.0/0"}},
		{six("ipv6-icmp", ""), []string{"0/protocol-0 from ::/0"}},
		{four("gre", "203.0.113.0/24"), []string{"0/protocol-0 from 203.0.113.0/24"}},
		{ports(four("sctp", "203.0.113.0/24"), 5, 9), []string{"0/protocol-0 from 203.0.113.0/24"}},
		{described(7, "portsnare: trap of group web, do not edit"), []string{"7/tcp from 0.0.0.0/0 of web"}},
		{described(8, "portsnare: trap of group db, do not edit"), []string{"8/tcp from 0.0.0.0/0 of db"}},
		{described(9, "Portsnare: trap of group web, do not edit"), []string{"9/tcp from 0.0.0.0/0"}},
		{described(10, "portsnare: trap of group web"), []string{"10/tcp from 0.0.0.0/0"}},
		{described(11, "portsnare: trap of group , do not edit"), []string{"11/tcp from 0.0.0.0/0"}},
		{rules.CreateOpts{Direction: rules.DirEgress, EtherType: rules.EtherType4, Protocol: "tcp"}, nil},
	} {
		id := l.add(tt.rule)
		for _, text := range tt.want {
			want = append(want, id+" "+text)
		}
	}
	told, err := l.Rules(context.Background())
	noError(t, err)
	var got []string
	for _, r := range told {
		text := fmt.Sprintf("%s %s", r.ID, r.Opening)
		if r.Mark != "" {
			text += " of " + string(r.Mark)
		}
		got = append(got, text)
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Rules (-want +got):\n%s", d)
	}
}

// A group that is gone, or another project's, must never look like one in which
// all is closed.
func TestRulesOfAbsentGroup(t *testing.T) {
	l := newLab(t)
	const hint = "is the security group in the project and the region of the credential? `openstack security group list` shows those that are"
	absent := "openstack: read the rules of " + l.group + ": Security group " + l.group + " does not exist (SecurityGroupNotFound)"
	l.line.speakAs(identity("project-other", member))
	_, err := l.Rules(context.Background())
	wantError(t, err, portsnare.NotFound, absent, hint)
	_, err = l.Limits(context.Background())
	wantError(t, err, portsnare.NotFound, absent, hint)

	l.line.speakAs(identity(l.project, member))
	noError(t, groups.Delete(context.Background(), l.human.client, l.group).ExtractErr())
	_, err = l.Apply(context.Background(), portsnare.Plan{Open: v4(t, "5/tcp")})
	wantError(t, err, portsnare.NotFound, absent, hint)
}

// What is JSON and yet no group is no group without rules.
func TestRulesOfAnOddAnswer(t *testing.T) {
	l := newLab(t)
	for _, body := range []string{`{}`, `{"security_group": null}`, `{"security_group": {"security_group_rules": []}}`, `[]`, ``} {
		l.line.replace(func(*http.Request) *answer { return &answer{200, jsonHeader, []byte(body)} })
		_, err := l.Rules(context.Background())
		wantError(t, err, portsnare.Transient,
			"openstack: read the rules of "+l.group+": the answer is no reply of OpenStack", "")
	}
}

// The quota is the project's: rules of its other groups and for outbound
// traffic take room too.
func TestLimits(t *testing.T) {
	l := newLab(t)
	limits := func() portsnare.Limits {
		t.Helper()
		got, err := l.Limits(context.Background())
		noError(t, err)
		return got
	}
	want := func(what string, rules int) {
		t.Helper()
		if got := limits(); got != (portsnare.Limits{Rules: rules}) {
			t.Errorf("%s: limits %+v, want %d rules", what, got, rules)
		}
	}
	// Neutron's default group has 2 rules outbound and 2 inbound, ours 2 outbound.
	want("an empty group", 100-4-2)
	l.reach(dual(t, "5/tcp", "6/tcp"))
	l.add(optsOf(v4(t, "22/tcp")[0]))
	want("rules in the group", 100-4-2)
	l.add(rules.CreateOpts{Direction: rules.DirEgress, EtherType: rules.EtherType4, Protocol: "tcp"})
	want("one more outbound", 100-4-3)
	other, err := groups.Create(context.Background(), l.human.client, groups.CreateOpts{Name: "other"}).Extract()
	noError(t, err)
	_, err = (&human{client: l.human.client, group: other.ID}).create(optsOf(v4(t, "22/tcp")[0]))
	noError(t, err)
	want("another group with one rule", 100-4-3-3)
	l.setQuota(12)
	want("a lower quota", 12-4-3-3)
	l.setQuota(5)
	want("a quota below what is used", 0)
	l.setQuota(-1)
	if got := limits(); got.Rules < 2*65535 {
		t.Errorf("no quota: limits %+v, want room for every port", got)
	}
}

// A cloud may keep its quotas to itself.
func TestLimitsUntold(t *testing.T) {
	l := newLab(t)
	l.reach(dual(t, "5/tcp", "6/tcp"))
	quota := func(a *answer) {
		l.line.replace(func(r *http.Request) *answer {
			if strings.HasPrefix(r.URL.Path, "/v2.0/quotas/") {
				return a
			}
			return nil
		})
	}
	for _, tt := range []struct {
		answer      answer
		configured  int
		quota, rest int
	}{
		{answer{403, jsonHeader, neutronError("PolicyNotAuthorized", "rule:get_quota is disallowed by policy")}, 0, openstack.DefaultRules, 4 + 2},
		{answer{404, jsonHeader, neutronError("HTTPNotFound", "The resource could not be found.")}, 0, openstack.DefaultRules, 4 + 2},
		{answer{404, jsonHeader, neutronError("HTTPNotFound", "The resource could not be found.")}, 40, 40, 4 + 2},
	} {
		quota(&tt.answer)
		l.SetQuota(tt.configured)
		got, err := l.Limits(context.Background())
		noError(t, err)
		if want := (portsnare.Limits{Rules: tt.quota - tt.rest}); got != want {
			t.Errorf("status %d: limits %+v, want %+v", tt.answer.status, got, want)
		}
	}
	quota(&answer{503, http.Header{"Retry-After": {"7"}}, nil})
	_, err := l.Limits(context.Background())
	wantError(t, err, portsnare.Transient, "openstack: ask for the quota of "+l.group+": the answer is no reply of OpenStack (HTTP status 503)", "")
}
