package openstack_test

import (
	"net/http"
	"os"
	"sync/atomic"
	"testing"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/openstack"
	"github.com/portsnare/portsnare/providers/providertest"
)

// The walk in a security group that PORTSNARE_TEST_OPENSTACK names, in the
// cloud that OS_CLOUD or an openrc file names. See package providertest.
func TestConformanceOfAnAccount(t *testing.T) {
	group := os.Getenv("PORTSNARE_TEST_OPENSTACK")
	if group == "" {
		t.Skip("PORTSNARE_TEST_OPENSTACK names no security group that may be used up")
	}
	p := provider
	p.Faults = nil
	p.New = func(t *testing.T, _ int) providertest.Subject { return account(t, group) }
	providertest.Run(t, p)
}

// What walks an account is itself tried on a Keystone that is none and a
// Neutron that is one.
func TestAccount(t *testing.T) {
	l, k := cloud(t)
	environment(t, "OS_AUTH_URL", k.url, "OS_APPLICATION_CREDENTIAL_ID", "cred", "OS_APPLICATION_CREDENTIAL_SECRET", "sesame")
	s := account(t, l.group)
	for _, want := range [][]portsnare.Opening{v4(t, "5/tcp"), v4(t, "5/tcp", "7/tcp")} {
		rules, err := s.Firewall.Rules(t.Context())
		noError(t, err)
		_, err = s.Firewall.Apply(t.Context(), portsnare.Diff(rules, portsnare.Wanted{Mark: mark, Openings: want}))
		noError(t, err)
		standing, err := s.Human.Rules()
		noError(t, err)
		if len(standing) != len(want) || standing[0].Mark != mark || s.Writes() != len(want) {
			t.Errorf("the human sees %v after %d writes, want %v after as many", standing, s.Writes(), want)
		}
	}
}

// account returns a group with two lines to it, of which only one counts.
func account(t *testing.T, group string) providertest.Subject {
	t.Helper()
	f, client := reach(t, group)
	_, console := reach(t, group)
	count := &counter{next: client.ProviderClient.HTTPClient.Transport}
	client.ProviderClient.HTTPClient.Transport = count
	made := func() int { return int(count.writes.Load()) }
	return providertest.Subject{Firewall: f, Human: &human{client: console, group: group, changes: made}, Writes: made}
}

func reach(t *testing.T, group string) (*openstack.Firewall, *gophercloud.ServiceClient) {
	t.Helper()
	f, err := openstack.Open(openstack.Options{GroupID: group, Mark: mark})
	noError(t, err)
	client, err := f.Client(t.Context())
	noError(t, err)
	return f, client
}

// counter counts the calls that are no reads.
type counter struct {
	next   http.RoundTripper
	writes atomic.Int64
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet {
		c.writes.Add(1)
	}
	return c.next.RoundTrip(r)
}
