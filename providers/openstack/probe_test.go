package openstack_test

import (
	"errors"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/openstack"
)

// TestAround: ports that bear the group say what is beside it.
func TestAround(t *testing.T) {
	l := newLab(t)
	console := direct(l.line.neutron, l.project, member)
	if err := l.Authenticate(t.Context()); err != nil {
		t.Errorf("authenticate: %v", err)
	}
	if attached, _, err := l.Around(t.Context()); attached || err != nil {
		t.Errorf("got %t, %v, want a group that no port bears", attached, err)
	}
	beside, err := groups.Create(t.Context(), console, groups.CreateOpts{Name: "beside"}).Extract()
	noError(t, err)
	_, err = rules.Create(t.Context(), console, rules.CreateOpts{SecGroupID: beside.ID, Direction: rules.DirIngress,
		EtherType: rules.EtherType4, Protocol: rules.ProtocolTCP, PortRangeMin: 80, PortRangeMax: 80, ProjectID: l.project}).Extract()
	noError(t, err)
	network, err := networks.Create(t.Context(), console, networks.CreateOpts{Name: "web", ProjectID: l.project}).Extract()
	noError(t, err)
	_, err = ports.Create(t.Context(), console, ports.CreateOpts{NetworkID: network.ID, ProjectID: l.project,
		SecurityGroups: &[]string{l.group, beside.ID}}).Extract()
	noError(t, err)
	attached, found, err := l.Around(t.Context())
	if got := portsnare.OpenPorts(found).String(); !attached || got != "80/tcp" || err != nil {
		t.Errorf("got %t, %q, %v, want a group that is borne, and 80/tcp beside it", attached, got, err)
	}
}

func TestAuthenticate(t *testing.T) {
	environment(t, "OS_AUTH_URL", "http://127.0.0.1:1/v3", "OS_USERNAME", "ops", "OS_PASSWORD", "x", "OS_PROJECT_NAME", "p", "OS_USER_DOMAIN_ID", "default",
		"OS_PROJECT_DOMAIN_ID", "default")
	f, err := openstack.Open(openstack.Options{GroupID: "b985643f-3424-4e67-9768-8f8e3e9f0112", Mark: mark})
	noError(t, err)
	if err := f.Authenticate(t.Context()); !errors.Is(err, portsnare.Transient) {
		t.Errorf("nobody there: error %v, want a transient one", err)
	}
}
