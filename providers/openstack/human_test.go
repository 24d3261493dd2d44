package openstack_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/providertest"
)

// human is somebody with the dashboard, on a line of his own. He looks again
// only where something may have changed, as a real server takes its time.
type human struct {
	client *gophercloud.ServiceClient
	group  string

	changes func() int // calls of others that may have changed something
	own     int        // the same of this human
	seen    []providertest.Standing
	at      int // changes and own when he saw that
}

func (h *human) Rules() ([]providertest.Standing, error) {
	if now := h.changes() + h.own; h.seen == nil || now != h.at {
		standing, err := h.look()
		if err != nil {
			return nil, err
		}
		h.seen, h.at = standing, now
	}
	return slices.Clone(h.seen), nil
}

func (h *human) look() ([]providertest.Standing, error) {
	group, err := groups.Get(context.Background(), h.client, h.group).Extract()
	if err != nil {
		return nil, err
	}
	standing := []providertest.Standing{}
	for _, r := range group.Rules {
		if r.Direction != "ingress" {
			continue
		}
		s := providertest.Standing{Raw: fmt.Sprintf("%+v", r)}
		s.ID, s.Opening = r.ID, openingOf(r)
		for _, form := range providertest.MarkedForms {
			if m := providertest.MarkOf(form, mark); r.Description == describe(m) {
				s.Mark = m
			}
		}
		standing = append(standing, s)
	}
	return standing, nil
}

// openingOf understands what is made here. Neutron names no ports where all are
// meant, even if it was asked for 1 to 65535.
func openingOf(r rules.SecGroupRule) portsnare.Opening {
	var o portsnare.Opening
	if protocol, err := portsnare.ParseProtocol(r.Protocol); err == nil {
		o.Range = portsnare.PortRange{Protocol: protocol, From: uint16(max(r.PortRangeMin, 1)), To: uint16(r.PortRangeMax)}
		if r.PortRangeMax == 0 {
			o.Range.To = 65535
		}
	}
	if prefix, err := netip.ParsePrefix(r.RemoteIPPrefix); err == nil {
		o.Source = prefix
	}
	return o
}

func (h *human) Add(form providertest.Form, o portsnare.Opening) (string, error) {
	opts := optsOf(o)
	switch form {
	case providertest.Plain:
		opts.Description = "ask ops"
	case providertest.Named:
		opts.RemoteIPPrefix, opts.RemoteGroupID = "", h.group
	default:
		opts.Description = describe(providertest.MarkOf(form, mark))
	}
	return h.create(opts)
}

func describe(mark portsnare.Mark) string {
	return "portsnare: trap of group " + string(mark) + ", do not edit"
}

func optsOf(o portsnare.Opening) rules.CreateOpts {
	opts := rules.CreateOpts{
		EtherType:      rules.EtherType6,
		Protocol:       rules.RuleProtocol(o.Range.Protocol.String()),
		PortRangeMin:   int(o.Range.From),
		PortRangeMax:   int(o.Range.To),
		RemoteIPPrefix: o.Source.String(),
	}
	if o.Source.Addr().Is4() {
		opts.EtherType = rules.EtherType4
	}
	return opts
}

func (h *human) create(opts rules.CreateOpts) (string, error) {
	h.own++
	opts.SecGroupID = h.group
	if opts.Direction == "" {
		opts.Direction = rules.DirIngress
	}
	made, err := rules.Create(context.Background(), h.client, opts).Extract()
	if err != nil {
		return "", err
	}
	return made.ID, nil
}

// Edit makes the rule anew: Neutron has no call to edit one.
func (h *human) Edit(id string, o portsnare.Opening) (string, error) {
	old, err := rules.Get(context.Background(), h.client, id).Extract()
	if err != nil {
		return "", err
	}
	if err := h.Remove(id); err != nil {
		return "", err
	}
	opts := optsOf(o)
	opts.Description = old.Description
	return h.create(opts)
}

func (h *human) Remove(id string) error {
	h.own++
	return rules.Delete(context.Background(), h.client, id).ExtractErr()
}
