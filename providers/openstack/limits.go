package openstack

import (
	"cmp"
	"context"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/quotas"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"

	"github.com/portsnare/portsnare"
)

// unlimited is more rules than there are ports to open, for a project without a
// quota.
const unlimited = 2 * 65535

// Limits returns how many rules the group can hold: the quota of its project
// less what the project has elsewhere, in other groups and for outbound
// traffic. Where the cloud does not tell the quota, it is that of [Options], or
// else [DefaultRules].
func (f *Firewall) Limits(ctx context.Context) (portsnare.Limits, error) {
	group, err := f.read(ctx)
	if err != nil {
		return portsnare.Limits{}, err
	}
	quota, used, err := f.usage(ctx, group.ProjectID)
	if err != nil {
		return portsnare.Limits{}, err
	}
	if quota < 0 {
		return portsnare.Limits{Rules: unlimited}, nil
	}
	here := len(inbound(group.Rules))
	return portsnare.Limits{Rules: max(0, quota-max(0, used-here))}, nil
}

// usage returns the quota of rules of a project, negative for none, and how
// many it has.
func (f *Firewall) usage(ctx context.Context, project string) (quota, used int, err error) {
	detail, err := f.detail(ctx, project)
	switch {
	case err == nil:
		quota, used = detail.Limit, detail.Used+detail.Reserved
	case portsnare.Retryable(err) || ctx.Err() != nil:
		return 0, 0, err
	default: // not told to this credential, or by this cloud
		quota = cmp.Or(f.quota, DefaultRules)
		if used, err = f.count(ctx, project); err != nil {
			return 0, 0, err
		}
	}
	return quota, used, nil
}

func (f *Firewall) detail(ctx context.Context, project string) (quotas.QuotaDetail, error) {
	return call(ctx, f, asking, func(ctx context.Context, client *gophercloud.ServiceClient) (quotas.QuotaDetail, error) {
		set, err := quotas.GetDetail(ctx, client, project).Extract()
		if err != nil {
			return quotas.QuotaDetail{}, err
		}
		return set.SecurityGroupRule, nil
	})
}

func (f *Firewall) count(ctx context.Context, project string) (int, error) {
	return call(ctx, f, counting, func(ctx context.Context, client *gophercloud.ServiceClient) (int, error) {
		pages, err := rules.List(client, rules.ListOpts{ProjectID: project}).AllPages(ctx)
		if err != nil {
			return 0, err
		}
		all, err := rules.ExtractRules(pages)
		return len(all), err
	})
}
