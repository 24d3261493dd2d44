package portsnare

import "time"

// Report is what an agent says of itself: after each order, after some changes, and
// at least every five seconds.
type Report struct {
	Host       string     `json:"host"`
	At         time.Time  `json:"at"`
	Version    string     `json:"version"`
	Backend    string     `json:"backend"`               // "ipset" or "nftables"
	Armed      string     `json:"armed"`                 // serial of the order that is in the kernel and on disk; "" for none
	ArmedTraps string     `json:"armed_traps,omitempty"` // serial of its trap part
	Generation Generation `json:"generation"`            // of that order
	Problem    string     `json:"problem,omitempty"`
	Listening  PortSet    `json:"listening"` // ports with a local socket: no traps here
	Bans       int        `json:"bans"`      // sources shut out now
	// Run names the run of the agent, and BanNumber its last [BanUpdate], so that
	// whoever has missed one learns of it.
	Run       string `json:"run,omitempty"`
	BanNumber uint64 `json:"ban_number,omitempty"`
	// Repairs counts how often in this run the kernel did not hold the order any
	// more, because somebody else changed it, and was put right.
	Repairs int `json:"repairs,omitempty"`
	// Full: memories of the kernel without room for everybody, by name ("hit4").
	// Who finds none is not counted, and served.
	Full []string `json:"full,omitempty"`
}

// Watches reports whether the host has the traps of o armed, whatever else of
// the order may have changed since. An agent of the first version knows nothing
// of the trap part, so for it the whole order has to be armed.
func (r Report) Watches(o Order) bool {
	if r.ArmedTraps == "" {
		return r.Carries(o)
	}
	return r.ArmedTraps == o.TrapsSerial
}

// Carries reports whether the host has all of o armed.
func (r Report) Carries(o Order) bool { return r.Armed != "" && r.Armed == o.Serial }
