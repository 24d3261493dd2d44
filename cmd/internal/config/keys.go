package config

import (
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/placement"
)

// The tables below are the format of the configuration.

var topKeys = section[Config]{keys: []key[Config]{
	{Key: Key{Name: "owner", Want: owner.want, Doc: "The name of this installation, which marks its rules in the clouds. It differs from that of every other installation and never changes. Absent: derived from the machine."},
		read: readOwner},
	one(Key{Name: "state", Default: "/var/lib/portsnare", Doc: "The controller's state directory."},
		absolutePath, func(c *Config, v string) { c.State = v }),
	inside("link", linkKeys, func(c *Config) *Link { return &c.Link }),
	one(Key{Name: "metrics", Doc: "Where to serve Prometheus metrics. Absent: nowhere."},
		listenAddress, func(c *Config, v string) { c.Metrics = v }),
	inside("log", logKeys, func(c *Config) *Log { return &c.Log }),
	each(Key{Name: "providers", Want: "at least one provider"},
		providerKeys, beginProvider, func(c *Config, v []Provider) { c.Providers = v }),
	each(Key{Name: "groups", Want: "at least one group"},
		groupKeys, beginGroup, func(c *Config, v []Group) { c.Groups = v }),
}, check: checkListeners}

var linkKeys = section[Link]{keys: []key[Link]{
	one(Key{Name: "listen", Default: ":" + linkPort, Doc: "Where the controller listens for agents."},
		listenAddress, func(l *Link, v string) { l.Listen = v }),
	many(Key{Name: "advertise", Doc: "Addresses at which agents reach the controller; tokens contain them. The port defaults to " + linkPort + "."},
		advertised, func(n node, l *Link, v string) {
			refuseExampleHost(n, v)
			l.Advertise = append(l.Advertise, v)
		}),
}}

var logKeys = section[Log]{keys: []key[Log]{
	one(Key{Name: "level", Default: "info", Doc: "The minimum log level."},
		word([]string{"debug", "info", "warn", "error"}, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError),
		func(l *Log, v slog.Level) { l.Level = v }),
	one(Key{Name: "format", Default: "text", Doc: "Key=value pairs, or one JSON object per line."},
		word([]string{"text", "json"}, false, true), func(l *Log, v bool) { l.JSON = v }),
}}

var providerKeys = section[Provider]{keys: slices.Concat([]key[Provider]{
	one(Key{Name: "kind", Required: true, Doc: "Which cloud. Credentials come from where the cloud's own tools look for them, never from this file."},
		kind, func(p *Provider, v string) { p.Kind = v }),
}, settings(), []key[Provider]{
	one(Key{Name: "timeout", Doc: "For every cloud: how long one API call may take. Absent: " + formatDuration(usualTimeout()) + ". A retry is a new call."},
		duration(time.Second, 10*time.Minute), func(p *Provider, v time.Duration) { p.Timeout = v }),
}), check: checkProvider}

var groupKeys = section[Group]{keys: []key[Group]{
	{Key: Key{Name: "provider", Want: "the name of a provider", Required: true, Doc: "The provider of the group's firewall."},
		read: readProvider},
	{Key: Key{Name: "firewall", Want: anyFirewall, Required: true, Doc: "The provider's id of the cloud firewall. A firewall belongs to one group only. Kind none has no firewall and does not take this key."},
		read: readFirewall, absent: missFirewall},
	many(Key{Name: "protect", Doc: "Protected ports to hide. At least one port is needed here or under public."},
		port, addProtect),
	many(Key{Name: "public", Doc: "Protected ports that are publicly known, such as those of a web site."},
		port, addPublic),
	many(Key{Name: "avoid", Doc: "Ports that never become traps."},
		portRange, func(_ node, g *Group, v portsnare.PortRange) { g.Avoid = with(g.Avoid, v) }),
	many(Key{Name: "hosts", Required: true, Doc: "The hosts behind the firewall. Each is in one group only."},
		host, addHost),
	one(Key{Name: "rotate", Default: "10m-20m", Doc: "When the traps move. With two durations, at a random moment between them. A rotation missed while no controller ran is made up once. A restart does not begin the interval again. A cron line that names hours runs once on days on which the clocks change."},
		rotation, func(g *Group, v Rotation) { g.Rotate = v }),
	insideOr("auto", Key{Name: "traps", Doc: "How many traps of which class. auto chooses what suits the firewall's limit, the protected ports and the policy. It also applies if neighbours, radius, bait and secret are all absent."},
		trapKeys, func(g *Group) *Traps { return &g.Traps }),
	inside("policy", policyKeys, func(g *Group) *portsnare.Policy { return &g.Policy }),
	many(Key{Name: "allow", Doc: "Sources that are never banned and never counted."},
		prefix, addAllow),
	many(Key{Name: "sources", Default: "[0.0.0.0/0, '::/0']", Doc: "Sources that the cloud firewall admits to the traps."},
		network, func(_ node, g *Group, v portsnare.Source) { g.Sources = append(g.Sources, v) }),
	one(Key{Name: "grace", Default: "30s", Doc: "How long a trap stays armed on the hosts after the cloud closed it. Longer than the provider's timeout, so that no late call can open a trap that is no longer armed. 0s is enough for kind none."},
		duration(0, time.Hour), func(g *Group, v time.Duration) { g.Grace = v }),
	one(Key{Name: "report_timeout", Default: "30s", Doc: "How long a host may take to report that it is armed."},
		duration(time.Second, time.Hour), func(g *Group, v time.Duration) { g.ReportTimeout = v }),
	one(Key{Name: "on_missing", Default: "hold", Doc: "What to do if a host does not report in time: hold keeps the present traps and tries again, proceed rotates without the host."},
		word([]string{string(Hold), string(Proceed)}, Hold, Proceed), func(g *Group, v OnMissing) { g.OnMissing = v }),
	one(Key{Name: "repair", Default: "1m", Doc: "How often to check the firewall for drift."},
		duration(10*time.Second, day), func(g *Group, v time.Duration) { g.Repair = v }),
}, check: checkGroup}

var trapKeys = section[Traps]{keys: []key[Traps]{
	one(Key{Name: "exposed", Default: strconv.Itoa(limits.Exposed), Doc: "With auto: the maximum number of trap ports that are open at a time."},
		number(1, 65535), func(t *Traps, v int) { t.Limits.Exposed = v }),
	one(Key{Name: "forged", Default: strconv.Itoa(limits.Forged), Doc: "With auto: the minimum number of packets, on average, that an attacker must forge to have another source banned."},
		number(1, 65535), func(t *Traps, v int) { t.Limits.Forged = v }),
	one(Key{Name: "keep", Default: "0", Doc: "Share of the traps that the next set keeps, for clouds where API writes are expensive. Kept traps can be learned: docs/placement.md shows the cost."},
		share, func(t *Traps, v float64) { t.Keep = v }),
	one(Key{Name: "neighbours", Default: "8", Doc: "Traps around each protected port that is not public, both sides together."},
		number(0, maxRadius), func(t *Traps, v int) { t.Neighbours = v }),
	one(Key{Name: "radius", Default: "16", Doc: "Maximum distance from that port, in ports. More than half the neighbours, so that nobody can tell which ports they are."},
		number(1, maxRadius), func(t *Traps, v int) { t.Radius = v }),
	one(Key{Name: "bait", Default: "10", Doc: "Traps among the ports that scanners try first."},
		number(0, 100), func(t *Traps, v int) { t.Bait = v }),
	inside("secret", secretKeys, func(t *Traps) *Secret { return &t.Secret }),
}, check: checkTraps}

// maxRadius keeps neighbours near: beyond it they would be secret traps.
const maxRadius = 1024

var secretKeys = section[Secret]{keys: []key[Secret]{
	one(Key{Name: "openings", Default: "30", Doc: "Ranges of secret traps. Each costs one firewall rule per source. 0 for none."},
		number(0, 1000), func(s *Secret, v int) { s.Openings = v }),
	one(Key{Name: "ports", Default: "400", Doc: "Number of secret traps in all these ranges together."},
		number(1, 65535), func(s *Secret, v int) { s.Ports = v }),
}, check: checkSecret}

var policyKeys = section[portsnare.Policy]{keys: []key[portsnare.Policy]{
	one(Key{Name: "strikes", Default: strconv.Itoa(defaults.Strikes), Doc: "Number of distinct traps that a source must touch within the window to be banned."},
		number(1, portsnare.MaxStrikes), func(p *portsnare.Policy, v int) { p.Strikes = v }),
	one(Key{Name: "window", Default: formatDuration(defaults.Window), Doc: "How long a strike counts."},
		duration(time.Second, portsnare.MaxTimeout), func(p *portsnare.Policy, v time.Duration) { p.Window = v }),
	one(Key{Name: "ban", Default: formatDuration(defaults.BanMin) + ".." + formatDuration(defaults.BanMax), Doc: "The first ban and the longest. Each further ban of a source doubles."},
		durations("..", time.Second, portsnare.MaxTimeout), func(p *portsnare.Policy, v span) { p.BanMin, p.BanMax = v.low, v.high }),
	one(Key{Name: "delay", Default: "off", Doc: "Whether a source must repeat its first SYN to a protected port that is not public. Every client does so after a second; by then a scanner has met a trap."},
		word([]string{"off", "greylist"}, false, true), func(p *portsnare.Policy, v bool) { p.Delay = v }),
}}

var (
	defaults = portsnare.DefaultPolicy()
	limits   = placement.DefaultLimits()
)
