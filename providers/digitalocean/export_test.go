package digitalocean

import "time"

// Hasten looks at what is pending every so often, for so long.
func (f *Firewall) Hasten(every, wait time.Duration) { f.every, f.wait = every, wait }

// SetTimeout shortens the time that one call may take.
func (f *Firewall) SetTimeout(d time.Duration) { f.api.Timeout = d }

// NewPace returns the pace that firewalls share by default.
var NewPace = newPace
