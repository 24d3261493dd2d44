package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/clouds"
	"github.com/portsnare/portsnare/cmd/internal/config"
	"github.com/portsnare/portsnare/rotator"
	"github.com/portsnare/portsnare/rotator/hub"
	"github.com/portsnare/portsnare/rotator/placement"
)

// controller is what `portsnare run` runs: one hub, and a rotator a group.
type controller struct {
	hub      *hub.Hub
	rotators map[string]*rotator.Rotator // by group
	hosts    map[string]bool             // that the configuration names
	names    []string                    // of groups, in the order of the configuration
}

// newController opens the firewalls and the hub. Every firewall is read once
// before the hub starts, so that a wrong credential or name is told before
// anything is armed. The caller must close the hub.
func newController(ctx context.Context, cfg config.Config, log *slog.Logger, reg prometheus.Registerer) (*controller, error) {
	c := &controller{rotators: map[string]*rotator.Rotator{}, hosts: map[string]bool{}}
	firewalls := map[string]rotator.Firewall{}
	for _, g := range cfg.Groups {
		firewall, err := openFirewall(ctx, g)
		if err == nil {
			err = probe(ctx, firewall, log)
		}
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", g.Name, err)
		}
		firewalls[g.Name] = firewall
	}
	metrics := rotator.NewMetrics(reg)
	var err error
	c.hub, err = hub.Open(ctx, hub.Options{
		Dir: cfg.State, Listen: cfg.Link.Listen, Advertise: cfg.Link.Advertise, Logger: log,
		OnHit: metrics.Hit,
		OnBan: func(b portsnare.Ban) {
			metrics.Ban(b)
			log.Info("banned", "host", b.Host, "source", b.Source, "until", b.Until)
		},
	})
	if err != nil {
		return nil, err
	}
	for _, g := range cfg.Groups {
		c.names = append(c.names, g.Name)
		for _, host := range g.Hosts {
			c.hosts[host] = true
		}
		c.rotators[g.Name] = rotator.New(rotator.Config{
			Group: groupOf(g), Firewall: firewalls[g.Name], Fleet: c.hub, Store: c.hub,
			Rand: placement.SecureRand(), Logger: log, Metrics: metrics,
		})
	}
	return c, nil
}

// probe reads the firewall once. What may pass is only logged: a controller
// that boots before its network must not give up.
func probe(ctx context.Context, firewall rotator.Firewall, log *slog.Logger) error {
	_, err := firewall.Rules(ctx)
	if portsnare.Retryable(err) {
		log.Warn("cannot read the firewall yet", "error", err)
		return nil
	}
	return err
}

// groupOf turns the configuration of a group into the rotator's.
func groupOf(g config.Group) rotator.Group {
	return rotator.Group{
		Name: g.Name, Hosts: g.Hosts,
		Protected: g.Protected(), Public: g.Public, Avoid: g.Avoid,
		Sources: g.Sources, Allow: g.Allow, Policy: g.Policy,
		Traps:    wishOf(g.Traps),
		Schedule: rotator.Schedule{Min: g.Rotate.Min, Max: g.Rotate.Max, Cron: g.Rotate.Cron},
		Grace:    g.Grace, ReportTimeout: g.ReportTimeout, OnMissing: rotator.OnMissing(g.OnMissing),
		Repair: g.Repair, CloudFirewall: g.Provider.Kind != clouds.None,
	}
}

// wishOf turns what the configuration says of traps into what is drawn by.
func wishOf(t config.Traps) placement.Wish {
	return placement.Wish{
		Auto: t.Auto, Limits: t.Limits,
		Spec: placement.Spec{
			Neighbours: t.Neighbours, Radius: t.Radius, Bait: t.Bait,
			Openings: t.Secret.Openings, Ports: t.Secret.Ports, Keep: t.Keep,
		},
	}
}
