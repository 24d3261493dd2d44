package portsnare

import "time"

// Report is what an agent says of itself: after each order, and now and then.
type Report struct {
	Host       string     `json:"host"`
	At         time.Time  `json:"at"`
	Version    string     `json:"version"`
	Backend    string     `json:"backend"`    // "ipset" or "nftables"
	Armed      string     `json:"armed"`      // digest of the order in the kernel; "" for none
	Generation Generation `json:"generation"` // of that order
	Problem    string     `json:"problem,omitempty"`
	Listening  PortSet    `json:"listening"` // ports with a local socket: no traps here
	Bans       int        `json:"bans"`      // sources shut out now
	// Full: memories of the kernel without room for everybody, by name ("hit4").
	// Who finds none is not counted, and served.
	Full []string `json:"full,omitempty"`
}
