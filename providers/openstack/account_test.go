package openstack_test

import (
	"net/http"
	"os"
	"sync/atomic"
	"testing"

	"github.com/gophercloud/gophercloud/v2"

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
	walkAccount(t, group)
}

// What walks an account is itself tried on a Keystone that is none and a
// Neutron that is one.
func TestConformanceOfAnAccountInTheLab(t *testing.T) {
	l, k := cloud(t)
	l.setRoom(8) // the walk fills it
	t.Setenv("PORTSNARE_WALK", "5")
	environment(t, "OS_AUTH_URL", k.url, "OS_APPLICATION_CREDENTIAL_ID", "cred", "OS_APPLICATION_CREDENTIAL_SECRET", "sesame")
	walkAccount(t, l.group)
}

func walkAccount(t *testing.T, group string) {
	t.Helper()
	p := provider
	p.Faults = nil
	p.New = func(t *testing.T, _ int) providertest.Subject {
		f, client := reach(t, group)
		_, console := reach(t, group)
		count := &counter{next: client.HTTPClient.Transport}
		client.ProviderClient.HTTPClient.Transport = count
		made := func() int { return int(count.writes.Load()) }
		return providertest.Subject{Firewall: f, Human: &human{client: console, group: group, changes: made}, Writes: made}
	}
	providertest.Run(t, p)
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
