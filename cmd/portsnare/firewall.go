package main

import (
	"context"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/config"
	"github.com/portsnare/portsnare/providers/aws"
	"github.com/portsnare/portsnare/providers/digitalocean"
	"github.com/portsnare/portsnare/providers/none"
	"github.com/portsnare/portsnare/providers/openstack"
	"github.com/portsnare/portsnare/providers/vultr"
	"github.com/portsnare/portsnare/rotator"
)

// openFirewall returns the provider's hold on the group's firewall. It asks
// nobody yet.
func openFirewall(ctx context.Context, g config.Group) (rotator.Firewall, error) {
	p, id, mark := g.Provider, g.Firewall, groupOf(g).Mark()
	switch p.Kind {
	case config.AWS:
		return aws.Open(ctx, aws.Options{Region: p.Region, GroupID: id, Mark: mark, Rules: p.Rules, Timeout: p.Timeout})
	case config.DigitalOcean:
		return digitalocean.Open(digitalocean.Options{FirewallID: id, Mark: mark, Replace: p.Replace, Timeout: p.Timeout})
	case config.Vultr:
		return vultr.Open(vultr.Options{GroupID: id, Mark: mark, Timeout: p.Timeout})
	case config.OpenStack:
		return openstack.Open(openstack.Options{Cloud: p.Cloud, Region: p.Region, GroupID: id, Mark: mark, Rules: p.Rules, Timeout: p.Timeout})
	case config.None:
		return none.New(mark), nil
	}
	// The configuration refuses other kinds.
	return nil, &portsnare.Error{Kind: portsnare.Invalid, Op: "open provider of kind", Subject: p.Kind}
}
