package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/clouds"
	"github.com/portsnare/portsnare/cmd/internal/config"
	"github.com/portsnare/portsnare/rotator"
	"github.com/portsnare/portsnare/rotator/fleet"
	"github.com/portsnare/portsnare/rotator/hub"
	"github.com/portsnare/portsnare/rotator/placement"
)

// controller is what `portsnare run` runs: one hub, and a rotator a group.
type controller struct {
	hub      *hub.Hub
	fleet    *fleet.Fleet
	metrics  *rotator.Metrics
	log      *slog.Logger
	banLog   *banLog
	cfg      config.Config
	rotators map[string]*rotator.Rotator // by group
	retired  []*rotator.Rotator          // of groups that are no longer configured
	hosts    map[string]bool             // that the configuration names
	places   []rotator.Place             // as stored at the start
	names    []string                    // of groups, in the order of the configuration
}

// newController opens the firewalls and the hub. Every firewall is read once
// before the hub starts, so that a wrong credential or name is told before
// anything is armed. The caller must close the hub.
func newController(ctx context.Context, cfg config.Config, log *slog.Logger, reg prometheus.Registerer) (*controller, error) {
	c := &controller{cfg: cfg, log: log, banLog: newBanLog(log), rotators: map[string]*rotator.Rotator{}, hosts: map[string]bool{}}
	groups, err := rotatorGroups(cfg)
	if err != nil {
		return nil, err
	}
	for i, g := range cfg.Groups {
		if err := probe(ctx, g, groups[i].Mark(), log); err != nil {
			return nil, fmt.Errorf("group %s: %w", g.Name, err)
		}
	}
	c.metrics = rotator.NewMetrics(reg)
	c.hub, err = hub.Open(ctx, hub.Options{
		Dir: cfg.State, Listen: cfg.Link.Listen, Advertise: cfg.Link.Advertise, Logger: log,
		OnHit: c.metrics.Hit, OnLost: c.metrics.Lost,
		OnBan: func(b portsnare.Ban) {
			c.metrics.Ban(b)
			c.banLog.ban(b)
		},
	})
	if err != nil {
		return nil, err
	}
	c.fleet = fleet.New(c.hub)
	if err := c.addGroups(ctx, groups); err != nil {
		return nil, errors.Join(err, c.hub.Close())
	}
	return c, nil
}

// addGroups makes a rotator for each group, and for each that is no longer
// configured and may have left something open.
func (c *controller) addGroups(ctx context.Context, groups []rotator.Group) error {
	places, err := rotator.Places(ctx, c.hub)
	if err != nil {
		return err
	}
	lost, err := c.unplaced(ctx, places, groups)
	if err != nil {
		return err
	}
	places = append(places, lost...)
	c.places = places
	for _, g := range groups {
		c.names = append(c.names, g.Name)
		for _, host := range g.Hosts {
			c.hosts[host] = true
		}
	}
	for i, g := range groups {
		made, err := c.newRotator(ctx, g, restOf(c.cfg.Groups[i]), rotator.FormerPlaces(places, groups, g)...)
		if err != nil {
			return err
		}
		c.rotators[g.Name] = made
	}
	for _, p := range rotator.RetiredPlaces(places, groups) {
		g := retiredGroup(p)
		made, err := c.newRotator(ctx, g, fleet.Rest{Group: g.Name, Protected: p.Protected, Public: p.Public, Policy: g.Policy, CloudFirewall: true})
		if err != nil {
			return err
		}
		c.retired = append(c.retired, made)
	}
	return nil
}

// unplaced returns the places of groups of the first version that were renamed or
// removed with the upgrade. Those with traps in a configured firewall become known.
func (c *controller) unplaced(ctx context.Context, places []rotator.Place, groups []rotator.Group) ([]rotator.Place, error) {
	lost, err := rotator.Unplaced(ctx, c.hub, c.hub.Hosts(), places, groups)
	if err != nil {
		return nil, err
	}
	for i := range lost {
		p := &lost[i]
		for _, g := range groups {
			rules, err := openPlace(ctx, c.cfg, g.Where, p.Mark).Rules(ctx)
			if ours, _ := portsnare.Ours(rules, p.Mark); err == nil && len(ours) > 0 {
				p.Where = g.Where
				if err := rotator.Placed(ctx, c.hub, *p); err != nil {
					return nil, err
				}
				break
			}
		}
		if p.Where == rotator.Unknown {
			c.log.Error("a group of the first version is no longer configured", "error", errUnplaced(p.Mark), "hint", portsnare.HintOf(errUnplaced(p.Mark)))
		}
	}
	return lost, nil
}

func (c *controller) newRotator(ctx context.Context, g rotator.Group, rest fleet.Rest, left ...rotator.Place) (*rotator.Rotator, error) {
	leaving := rotator.Leaving(c.places, g)
	inNoGroup := slices.DeleteFunc(slices.Clone(leaving), func(host string) bool { return c.hosts[host] })
	if err := c.fleet.Set(ctx, slices.Concat(g.Hosts, inNoGroup), rest); err != nil {
		return nil, err
	}
	marks := []portsnare.Mark{g.FirstMark()}
	var former []rotator.Former
	for _, p := range left {
		marks = append(marks, p.Mark)
		former = append(former, rotator.Former{Place: p, Firewall: openPlace(ctx, c.cfg, p.Where, p.Mark)})
	}
	made, err := rotator.New(rotator.Config{
		Group: g, Former: former, Leaving: leaving, Firewall: openPlace(ctx, c.cfg, g.Where, g.Mark(), marks...), Store: c.hub,
		Fleet: c.fleet.Part(g.Part(), slices.Concat(g.Hosts, leaving)...),
		Rand:  placement.SecureRand(), Logger: c.log, Metrics: c.metrics,
	})
	if err != nil {
		return nil, err
	}
	if err := made.Load(ctx); err != nil { // shown by status, and tried again
		c.log.Warn("cannot read the state of a group yet", "group", g.Name, "error", err)
	}
	return made, nil
}

// probe reads the firewall once. What may pass is only logged: a controller
// that boots before its network must not give up.
func probe(ctx context.Context, g config.Group, mark portsnare.Mark, log *slog.Logger) error {
	firewall, err := openFirewall(ctx, g.Provider, g.Firewall, mark, portsnare.Mark(g.Name))
	if err == nil {
		_, err = firewall.Rules(ctx)
	}
	if portsnare.Retryable(err) {
		log.Warn("cannot read the firewall yet", "error", err)
		return nil
	}
	return err
}

// rotatorGroups turns the configuration of all groups into the rotator's.
func rotatorGroups(cfg config.Config) ([]rotator.Group, error) {
	owner, err := ownerOf(cfg.Owner, machineIDFile, cfg.State)
	if err != nil {
		return nil, err
	}
	groups := make([]rotator.Group, len(cfg.Groups))
	for i, g := range cfg.Groups {
		groups[i] = groupOf(owner, g)
	}
	return groups, nil
}

// groupOf turns the configuration of a group into the rotator's.
func groupOf(owner string, g config.Group) rotator.Group {
	return rotator.Group{
		Owner: owner, Name: g.Name, Hosts: g.Hosts,
		Protected: g.Protected(), Public: g.Public, Avoid: g.Avoid,
		Sources: g.Sources, Policy: g.Policy,
		Traps:    wishOf(g.Traps),
		Schedule: rotator.Schedule{Min: g.Rotate.Min, Max: g.Rotate.Max, Cron: g.Rotate.Cron},
		Grace:    g.Grace, ReportTimeout: g.ReportTimeout, OnMissing: rotator.OnMissing(g.OnMissing),
		Repair: g.Repair, CloudFirewall: g.Provider.Kind != clouds.None,
		Where: rotator.Where{Kind: g.Provider.Kind, Provider: g.Provider.Name, Region: g.Provider.Settings.Text("region"), Firewall: g.Firewall},
	}
}

// Settings of a group that is no longer configured, while it is withdrawn. The
// grace time is longer than any cloud's call can live. Closing waits for no host:
// some may be gone for good.
const (
	retiredGrace  = time.Minute
	retiredReport = 30 * time.Second
	retiredRepair = 5 * time.Minute
)

// retiredGroup returns the group that opened traps at p.
func retiredGroup(p rotator.Place) rotator.Group {
	return rotator.Group{
		Owner: p.Mark.Owner(), Name: p.Group, Hosts: p.Hosts, Protected: p.Protected, Public: p.Public,
		Sources: portsnare.AnySource(), Policy: portsnare.DefaultPolicy(),
		Grace: retiredGrace, ReportTimeout: retiredReport, OnMissing: rotator.Proceed, Repair: retiredRepair,
		CloudFirewall: true, Where: p.Where, Retired: true,
	}
}

// restOf returns everything in the orders of a group's hosts but the traps.
func restOf(g config.Group) fleet.Rest {
	return fleet.Rest{
		Group: g.Name, Protected: g.Protected(), Public: g.Public, Policy: g.Policy,
		CloudFirewall: g.Provider.Kind != clouds.None, Allow: g.Allow,
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
