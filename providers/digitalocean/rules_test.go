package digitalocean_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/dofake"
)

func from(addresses ...string) *dofake.Target { return &dofake.Target{Addresses: addresses} }

// Every sort of rule, and how it is told: ours only where it admits ports to
// addresses and to nothing else.
func TestRulesTellsEverySort(t *testing.T) {
	for _, tt := range []struct {
		name string
		rule dofake.Rule
		want []string
	}{
		{"both families", dofake.Rule{Protocol: "tcp", Ports: "8000-8009", Sources: from("0.0.0.0/0", "::/0")},
			[]string{"ours 8000-8009/tcp from 0.0.0.0/0", "ours 8000-8009/tcp from ::/0"}},
		{"every port", dofake.Rule{Protocol: "udp", Ports: "0", Sources: from("::/0")}, []string{"ours 1-65535/udp from ::/0"}},
		{"an address", dofake.Rule{Protocol: "udp", Ports: "53", Sources: from("192.0.2.1", "2001:db8::1")},
			[]string{"ours 53/udp from 192.0.2.1/32", "ours 53/udp from 2001:db8::1/128"}},
		{"host bits", dofake.Rule{Protocol: "tcp", Ports: "53", Sources: from("192.0.2.1/24")}, []string{"ours 53/tcp from 192.0.2.0/24"}},
		{"one prefix in two spellings", dofake.Rule{Protocol: "tcp", Ports: "53", Sources: from("2001:DB8::/32", "2001:db8:0::/32")},
			[]string{"ours 53/tcp from 2001:db8::/32"}},
		{"refusing", dofake.Rule{Protocol: "tcp", Ports: "8000", Action: "deny", Sources: from("0.0.0.0/0")}, []string{"refuses 8000/tcp from 0.0.0.0/0"}},
		{"ICMP", dofake.Rule{Protocol: "icmp", Ports: "0", Sources: from("0.0.0.0/0")}, []string{"foreign 0/protocol-0 from 0.0.0.0/0"}},
		{"a tag", dofake.Rule{Protocol: "tcp", Ports: "443", Sources: &dofake.Target{Tags: []string{"blue"}}}, []string{"foreign 443/tcp from a named source"}},
		{"a Droplet", dofake.Rule{Protocol: "tcp", Ports: "443", Sources: &dofake.Target{DropletIDs: []int{103}}}, []string{"foreign 443/tcp from a named source"}},
		{"a load balancer", dofake.Rule{Protocol: "tcp", Ports: "443", Sources: &dofake.Target{LoadBalancerIDs: []string{"4de7ac8b"}}},
			[]string{"foreign 443/tcp from a named source"}},
		{"a cluster", dofake.Rule{Protocol: "tcp", Ports: "443", Sources: &dofake.Target{KubernetesIDs: []string{"41b74c5d"}}},
			[]string{"foreign 443/tcp from a named source"}},
		{"an address and a tag", dofake.Rule{Protocol: "tcp", Ports: "443", Sources: &dofake.Target{Addresses: []string{"192.0.2.1"}, Tags: []string{"blue"}}},
			[]string{"foreign 443/tcp from 192.0.2.1/32", "foreign 443/tcp from a named source"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, dofake.Options{}, 0)
			noError(t, l.do.AddRule(l.id, tt.rule))
			rules, err := l.Rules(t.Context())
			noError(t, err)
			var got []string
			for _, r := range rules {
				whose := map[bool]string{r.Mark == mark: "ours", r.Mark == "": "foreign", r.Deny: "refuses"}[true]
				got = append(got, fmt.Sprintf("%s %s", whose, r.Opening))
				if r.ID != rules[0].ID || r.ID == "" {
					t.Errorf("id %q, want one for all", r.ID)
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("Rules (-want +got):\n%s", d)
			}
			limits, err := l.Limits(t.Context())
			noError(t, err)
			if got := limits.Budget(rules, portsnare.AnySource()...); got != 46 {
				t.Errorf("budget %d, want 46: one rule is one rule", got)
			}
		})
	}
}

// What is sent is in the form that DigitalOcean answers with, and nothing else
// of the firewall changes.
func TestRulesAsSent(t *testing.T) {
	l := newLab(t, dofake.Options{}, 0)
	before := l.do.Firewall(l.id)
	l.reach(append(dual(t, "8000-8009/tcp", "9000/udp", "1-65535/udp"), v4(t, "5/tcp")...))
	want := []string{
		`{"protocol":"tcp","ports":"5","action":"allow","sources":{"addresses":["0.0.0.0/0"]}}`,
		`{"protocol":"tcp","ports":"8000-8009","action":"allow","sources":{"addresses":["0.0.0.0/0","::/0"]}}`,
		`{"protocol":"udp","ports":"0","action":"allow","sources":{"addresses":["0.0.0.0/0","::/0"]}}`,
		`{"protocol":"udp","ports":"9000","action":"allow","sources":{"addresses":["0.0.0.0/0","::/0"]}}`,
	}
	if d := cmp.Diff(want, l.inbound()); d != "" {
		t.Errorf("inbound rules (-want +got):\n%s", d)
	}
	after := l.do.Firewall(l.id)
	after.Inbound = before.Inbound
	if d := cmp.Diff(before, after, ignoreUnexported); d != "" {
		t.Errorf("the rest (-before +after):\n%s", d)
	}
}
