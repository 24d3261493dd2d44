package openstack

import (
	"context"
	"slices"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"

	"github.com/portsnare/portsnare"
)

var (
	looking = action{"see what bears", "get_port"}
	beside  = action{"read what is beside", "get_security_group"}
)

// Authenticate logs in, if nobody has.
func (f *Firewall) Authenticate(ctx context.Context) error {
	_, err := call(ctx, f, loggingIn, func(context.Context, *gophercloud.ServiceClient) (struct{}, error) {
		return struct{}{}, nil
	})
	return err
}

// Around reports whether a port bears the group, and returns what the other
// security groups of such ports admit, as far as the credential sees them.
func (f *Firewall) Around(ctx context.Context) (attached bool, rules []portsnare.Rule, err error) {
	borne, err := call(ctx, f, looking, func(ctx context.Context, client *gophercloud.ServiceClient) ([]ports.Port, error) {
		pages, err := ports.List(client, ports.ListOpts{SecurityGroups: []string{f.groupID}}).AllPages(ctx)
		if err != nil {
			return nil, err
		}
		return ports.ExtractPorts(pages)
	})
	if err != nil {
		return false, nil, err
	}
	var others []string
	for _, p := range borne {
		others = append(others, p.SecurityGroups...)
	}
	slices.Sort(others)
	for _, id := range slices.Compact(others) {
		if id == f.groupID {
			continue
		}
		group, err := call(ctx, f, beside, func(ctx context.Context, client *gophercloud.ServiceClient) (*groups.SecGroup, error) {
			return groups.Get(ctx, client, id).Extract()
		})
		if err != nil {
			return true, nil, err
		}
		rules = append(rules, toRules(group.Rules)...)
	}
	return len(borne) > 0, rules, nil
}
