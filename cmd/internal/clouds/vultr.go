package clouds

import (
	"context"

	"github.com/portsnare/portsnare/providers/rest"
	"github.com/portsnare/portsnare/providers/vultr"
)

var _ = add(Cloud{
	Kind: "vultr", Rank: 3,
	Firewall:    uuid("a firewall group's id", "cb676a46-66fd-4dfb-b839-443f2e6c0b60"),
	CallTimeout: rest.CallTimeout,
	Open: func(_ context.Context, t Target) (Firewall, error) {
		return opened(vultr.Open(vultr.Options{GroupID: t.Firewall, Mark: t.Mark, Former: t.Former, Timeout: t.Timeout}))
	},
	Limit:  "what the firewall group says of itself",
	Counts: "rules of the group, IPv4 and IPv6 together; each source is a rule",
})
