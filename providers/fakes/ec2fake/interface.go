package ec2fake

import (
	"fmt"
	"slices"
)

// Attach makes a network interface that bears the groups. They are not
// checked.
func (f *Fake) Attach(groupIDs ...string) {
	f.home.mu.Lock()
	defer f.home.mu.Unlock()
	f.home.interfaces = append(f.home.interfaces, slices.Clone(groupIDs))
}

type wireInterface struct {
	ID     string               `xml:"networkInterfaceId"`
	Groups []wireInterfaceGroup `xml:"groupSet>item"`
}

type wireInterfaceGroup struct {
	ID string `xml:"groupId"`
}

// parseDescribeInterfaces knows the filter group-id and no other, and answers
// all on one page.
func parseDescribeInterfaces(p params) operation {
	dryRun := p.boolean("DryRun")
	p.page("NetworkInterfaceId", false)
	var wanted []string
	for _, item := range p.list("Filter") {
		if name := item.required("Name"); name != "group-id" {
			p.fail(invalid("The filter '%s' is invalid", name))
		}
		wanted = append(wanted, item.strings("Value")...)
	}
	return func(s *store) (response, error) {
		if dryRun {
			return response{}, errDryRun
		}
		return response{Interfaces: s.wireInterfaces(wanted)}, nil
	}
}

// wireInterfaces returns those that bear any of the groups; of no group, all.
func (s *store) wireInterfaces(groups []string) []wireInterface {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []wireInterface
	for i, borne := range s.interfaces {
		if len(groups) > 0 && !slices.ContainsFunc(borne, func(id string) bool { return slices.Contains(groups, id) }) {
			continue
		}
		at := wireInterface{ID: fmt.Sprintf("eni-%017x", i+1)}
		for _, id := range borne {
			at.Groups = append(at.Groups, wireInterfaceGroup{id})
		}
		out = append(out, at)
	}
	return out
}
