package config

import (
	"time"
)

// callTimeouts are how long one call to a cloud may take where the configuration
// does not say. A kind that is not in it makes no calls.
var callTimeouts = map[string]time.Duration{
	AWS:          20 * time.Second,
	DigitalOcean: 20 * time.Second,
	Vultr:        20 * time.Second,
	OpenStack:    20 * time.Second,
}

// CallTimeout returns how long one call to a cloud of that kind may take unless the
// configuration says otherwise; 0 where there is no cloud.
func CallTimeout(kind string) time.Duration { return callTimeouts[kind] }

// checkGrace demands that no call which a controller made before it died can still
// open a trap after the hosts have disarmed it.
func checkGrace(m mapping, g *Group) {
	life := g.Provider.Timeout
	if life == 0 || g.Grace > life {
		return
	}
	m.at("grace", "provider").problemf("%s: want more than %s, as a call to provider %s may take so long and could open a trap that is disarmed already",
		formatDuration(g.Grace), formatDuration(life), g.Provider.Name)
}
