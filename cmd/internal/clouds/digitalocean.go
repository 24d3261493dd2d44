package clouds

import (
	"context"
	"strconv"

	"github.com/portsnare/portsnare/providers/digitalocean"
	"github.com/portsnare/portsnare/providers/rest"
)

var _ = add(Cloud{
	Kind: "digitalocean", Rank: 2,
	Keys: []Key{
		{Name: "replace", Rank: 4, Sort: Flag, Doc: "whether a change is one call that replaces the whole firewall, instead of one call that adds rules and one that removes them. The token then also needs droplet:read and tag:read."},
	},
	Firewall:    uuid("a Cloud Firewall's id", "bb4b2611-3d72-467b-8602-280330ecd65c"),
	CallTimeout: rest.CallTimeout,
	Open: func(_ context.Context, t Target) (Firewall, error) {
		return opened(digitalocean.Open(digitalocean.Options{
			FirewallID: t.Firewall, Mark: t.Mark, Former: t.Former, Replace: t.Settings.Flag("replace"), Timeout: t.Timeout,
		}))
	},
	Limit:  strconv.Itoa(digitalocean.MaxRules),
	Counts: "inbound and outbound rules of the firewall together; a rule has up to 1000 sources of both families",
})
