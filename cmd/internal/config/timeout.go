package config

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
