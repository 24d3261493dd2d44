package main

import (
	"context"
	"errors"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/clouds"
	"github.com/portsnare/portsnare/cmd/internal/config"
	"github.com/portsnare/portsnare/rotator"
)

// openFirewall returns the provider's hold on a firewall, for rules that bear mark
// or have borne one of former. It asks nobody yet.
func openFirewall(ctx context.Context, p config.Provider, id string, mark portsnare.Mark, former ...portsnare.Mark) (clouds.Firewall, error) {
	return clouds.Open(ctx, p.Kind, clouds.Target{
		Settings: p.Settings, Firewall: id, Mark: mark, Former: former, Timeout: p.Timeout,
	})
}

// openPlace returns the hold on a firewall that the configuration need no longer
// name. Where its provider is gone as well, every call of it fails and says so.
func openPlace(ctx context.Context, cfg config.Config, where rotator.Where, mark portsnare.Mark, former ...portsnare.Mark) rotator.Firewall {
	if where == rotator.Unknown {
		return unreachable{errUnplaced(mark)}
	}
	firewall, err := rotator.Firewall(nil), error(&portsnare.Error{
		Kind: portsnare.Invalid, Op: "open firewall", Subject: where.Firewall,
		Err: errors.New("the configuration has no provider " + where.Provider + " of kind " + where.Kind),
	})
	if p, found := providerAt(cfg, where); found {
		firewall, err = openFirewall(ctx, p, where.Firewall, mark, former...)
	}
	if err != nil {
		return unreachable{err}
	}
	return firewall
}

// providerAt returns the provider of that name and kind, or else one of that kind
// and region.
func providerAt(cfg config.Config, where rotator.Where) (config.Provider, bool) {
	for _, named := range []bool{true, false} {
		for _, p := range cfg.Providers {
			if p.Kind == where.Kind && (named && p.Name == where.Provider || !named && p.Settings.Text("region") == where.Region) {
				return p, true
			}
		}
	}
	return config.Provider{}, false
}

// unreachable is a firewall that cannot be opened.
type unreachable struct{ err error }

// Rules returns why.
func (u unreachable) Rules(context.Context) ([]portsnare.Rule, error) { return nil, u.err }

// Limits returns why.
func (u unreachable) Limits(context.Context) (portsnare.Limits, error) {
	return portsnare.Limits{}, u.err
}

// Apply returns why.
func (u unreachable) Apply(context.Context, portsnare.Plan) (portsnare.Done, error) {
	return portsnare.Done{}, u.err
}

// errUnplaced says that a group of the first version was renamed or removed with the
// upgrade, and that its traps are in none of the configured firewalls.
func errUnplaced(mark portsnare.Mark) error {
	return &portsnare.Error{
		Kind: portsnare.Invalid, Op: "close the traps of", Subject: "group " + mark.Group(),
		Err: errors.New("the first version has opened them, nobody knows in which firewall, and its hosts stay armed"),
		Hint: "put group " + mark.Group() + " back as it was before the upgrade and run the controller once: it notes the firewall where rules have the mark " +
			string(mark) + ", and closes them when the group is renamed or removed after that",
	}
}
