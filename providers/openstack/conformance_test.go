package openstack_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/providertest"
)

// provider is all but the firewall.
var provider = providertest.Provider{
	Mark:   mark,
	Writes: fewestWrites,
	Forms:  append(providertest.MarkedForms, providertest.Plain, providertest.Named),
	Faults: append(providertest.FaultsOf(nil), providertest.Throttled, providertest.ThrottledFor,
		providertest.ServerError, providertest.LateError, providertest.OddAnswer),
}

// TestConformance walks a real Neutron, which takes 10 to 50 ms for a call: the
// random walk is shorter than that of a fake where nobody says how long.
func TestConformance(t *testing.T) {
	if _, set := os.LookupEnv("PORTSNARE_WALK"); !set {
		t.Setenv("PORTSNARE_WALK", "25")
	}
	p := provider
	p.New = newSubject
	providertest.Run(t, p)
}

func newSubject(t *testing.T, room int) providertest.Subject {
	t.Helper()
	l := newLab(t)
	if room > 0 {
		l.setRoom(room)
	}
	return providertest.Subject{
		Firewall: l.Firewall,
		Human:    l.human,
		Writes:   func() int { return len(writes(l.line.made(0))) },
		Faults:   l.line,
		Hasten:   l.SetTimeout,
		Remove:   func() error { return groups.Delete(context.Background(), l.human.client, l.group).ExtractErr() },
	}
}

// writes returns the methods of the calls that are no reads.
func writes(calls []string) []string {
	var methods []string
	for _, call := range calls {
		if method, _, _ := strings.Cut(call, " "); method != "GET" {
			methods = append(methods, method)
		}
	}
	return methods
}

// fewestWrites: one for all that opens, one for each rule that closes.
func fewestWrites(_ []portsnare.Rule, plan portsnare.Plan) int {
	n := min(len(plan.Open), 1)
	closes := map[string]bool{}
	for _, r := range plan.Close {
		closes[r.ID] = true
	}
	return n + len(closes)
}
