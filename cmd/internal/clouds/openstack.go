package clouds

import (
	"context"
	"strconv"

	"github.com/portsnare/portsnare/providers/openstack"
)

var _ = add(Cloud{
	Kind: "openstack", Rank: 4,
	Keys: []Key{
		{Name: "region", Rank: 1, Doc: "absent, it comes from OS_REGION_NAME or clouds.yaml."},
		{Name: "cloud", Rank: 2, Doc: "the cloud's name in clouds.yaml. Absent, it comes from OS_CLOUD or the variables of an openrc file."},
		{Name: "rules", Rank: 3, Sort: Number, Doc: "the project's quota of rules, instead of what the cloud reports."},
	},
	Firewall:    uuid("a security group's id", "b985643f-3424-4e67-9768-8f8e3e9f0112"),
	CallTimeout: openstack.CallTimeout,
	Open: func(_ context.Context, t Target) (Firewall, error) {
		return opened(openstack.Open(openstack.Options{
			Cloud: t.Settings.Text("cloud"), Region: t.Settings.Text("region"), GroupID: t.Firewall, Mark: t.Mark, Former: t.Former,
			Rules: t.Settings.Number("rules"), Timeout: t.Timeout,
		}))
	},
	Unasked: "OpenStack tells when it is asked to write; the role member suffices",
	Limit:   "`rules`, else the project's quota, or " + strconv.Itoa(openstack.DefaultRules) + " where the cloud does not tell it",
	Counts:  "rules of all security groups of the project, outbound ones too; each source is a rule",
})
