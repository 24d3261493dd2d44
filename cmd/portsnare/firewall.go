package main

import (
	"context"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/clouds"
	"github.com/portsnare/portsnare/cmd/internal/config"
)

// openFirewall returns the provider's hold on the group's firewall. It asks
// nobody yet.
func openFirewall(ctx context.Context, g config.Group) (clouds.Firewall, error) {
	mark := groupOf(g).Mark()
	return clouds.Open(ctx, g.Provider.Kind, clouds.Target{
		Settings: g.Provider.Settings, Firewall: g.Firewall, Mark: mark, Former: formerMarks(mark), Timeout: g.Provider.Timeout,
	})
}

// formerMarks returns the marks that rules of ours may bear from before: the first
// version named the group alone.
func formerMarks(mark portsnare.Mark) []portsnare.Mark {
	if old := portsnare.Mark(mark.Group()); old != mark {
		return []portsnare.Mark{old}
	}
	return nil
}
