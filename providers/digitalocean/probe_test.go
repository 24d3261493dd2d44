package digitalocean_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/digitalocean"
	"github.com/portsnare/portsnare/providers/fakes/dofake"
)

// scoped returns a lab whose token lacks scopes.
func scoped(t *testing.T, without ...string) *lab {
	t.Helper()
	scopes := slices.DeleteFunc(slices.Clone(dofake.Scopes), func(s string) bool { return slices.Contains(without, s) })
	return newLab(t, dofake.Options{Tokens: map[string][]string{dofake.DefaultToken: scopes}}, 0)
}

func TestPermissions(t *testing.T) {
	for _, tt := range []struct {
		without string // scopes
		replace bool
		want    string
	}{
		{"", false, ""},
		{"", true, ""},
		{"droplet:read tag:read", false, ""},
		{"firewall:read", false, "firewall:read"},
		{"firewall:update", false, "firewall:update"},
		{"firewall:read firewall:update", false, "firewall:read, firewall:update"},
		{"droplet:read tag:read", true, "droplet:read, tag:read"},
	} {
		l := scoped(t, strings.Fields(tt.without)...)
		l.options.Replace = tt.replace
		f, err := digitalocean.New(l.options)
		noError(t, err)
		if err := f.Authenticate(t.Context()); err != nil {
			t.Errorf("without %s: authenticate: %v", tt.without, err)
		}
		before := l.do.Firewall(l.id)
		err = f.Permissions(t.Context())
		got := ""
		if err != nil {
			got = strings.TrimPrefix(err.Error(), "digitalocean: use "+l.id+": the token lacks ")
		}
		if got != tt.want || (err != nil) != errors.Is(err, portsnare.Denied) {
			t.Errorf("without %s: got %v, want %q", tt.without, err, tt.want)
		}
		if after := l.do.Firewall(l.id); len(after.Inbound) != len(before.Inbound) {
			t.Errorf("without %s: the firewall has changed", tt.without)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	l := newLab(t, dofake.Options{Tokens: map[string][]string{"another": dofake.Scopes}}, 0)
	for name, err := range map[string]error{
		"authenticate": l.Authenticate(t.Context()), "permissions": l.Permissions(t.Context()),
	} {
		if !errors.Is(err, portsnare.Denied) || !strings.Contains(err.Error(), "Unable to authenticate you") {
			t.Errorf("%s: error %v, want one that the token is not known", name, err)
		}
	}
}

// TestAround: a Droplet that has the firewall says what is beside it.
func TestAround(t *testing.T) {
	l := newLab(t, dofake.Options{}, 0)
	_, err := l.do.AddFirewall(dofake.Firewall{Name: "portsnare-db", Outbound: dofake.OpenOutbound(), Tags: []string{"web"}, Inbound: []dofake.Rule{
		{Protocol: "tcp", Ports: "81", Action: "allow", Sources: &dofake.Target{Addresses: []string{"0.0.0.0/0"}}},
	}})
	noError(t, err)
	attached, rules, err := l.Around(t.Context())
	if got := portsnare.OpenPorts(rules).String(); !attached || got != "22/tcp" || err != nil {
		t.Errorf("got %t, %q, %v, want the firewall attached, and 22/tcp beside it", attached, got, err)
	}
}

func TestAroundNothing(t *testing.T) {
	l := newLab(t, dofake.Options{}, 0)
	l.do.RemoveFirewall(l.id)
	var err error
	l.options.FirewallID, err = l.do.AddFirewall(dofake.Firewall{Name: name, Outbound: dofake.OpenOutbound()})
	noError(t, err)
	f, err := digitalocean.New(l.options)
	noError(t, err)
	if attached, rules, err := f.Around(t.Context()); attached || len(rules) > 0 || err != nil {
		t.Errorf("got %t, %v, %v, want a firewall that no Droplet has", attached, rules, err)
	}
}

func TestAroundUnseen(t *testing.T) {
	l := scoped(t, "tag:read")
	_, _, err := l.Around(t.Context())
	if !errors.Is(err, portsnare.Denied) || !strings.HasPrefix(portsnare.HintOf(err), "give the token the scopes droplet:read and tag:read") {
		t.Errorf("error %v, hint %q", err, portsnare.HintOf(err))
	}
}

// TestWrites: what is told beforehand is what Apply then does.
func TestWrites(t *testing.T) {
	for _, replace := range []bool{false, true} {
		l := newLab(t, dofake.Options{}, 0)
		l.options.Replace = replace
		f, err := digitalocean.New(l.options)
		noError(t, err)
		for _, ports := range []string{"1000-1009/tcp", "2000/tcp,3000/tcp", "3000/tcp", "", ""} {
			set, err := portsnare.ParsePortSet(ports)
			noError(t, err)
			rules, err := f.Rules(t.Context())
			noError(t, err)
			plan := portsnare.Diff(rules, portsnare.Wanted{Mark: mark, Openings: portsnare.OpeningsOf(set.Ranges(), portsnare.AnySource()...)})
			done, err := f.Apply(t.Context(), plan)
			if got := f.Writes(plan); got != done.Writes || err != nil {
				t.Errorf("replace %t, %q: %d writes told, %d made, error %v", replace, ports, got, done.Writes, err)
			}
		}
	}
}
