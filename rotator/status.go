package rotator

import (
	"time"

	"github.com/portsnare/portsnare"
)

// Status is what an operator may know of a group. It counts the traps and does
// not name them: where they are is a secret.
type Status struct {
	Group      string               `json:"group"`
	Generation portsnare.Generation `json:"generation"`
	Traps      int                  `json:"traps"`             // ports
	Openings   int                  `json:"openings"`          // port ranges
	Pending    string               `json:"pending,omitempty"` // such as "generation 7, step open"
	RotatedAt  time.Time            `json:"rotated_at,omitzero"`
	NextAt     time.Time            `json:"next_at,omitzero"`
	Problem    string               `json:"problem,omitempty"`
	Hint       string               `json:"hint,omitempty"`
	Hosts      []HostStatus         `json:"hosts"`
}

// HostStatus is what is known of one host.
type HostStatus struct {
	Host    string    `json:"host"`
	Armed   bool      `json:"armed"`             // its newest report is of the group's generation
	SeenAt  time.Time `json:"seen_at,omitzero"`  // zero: it never reported
	Bans    int       `json:"bans"`              // sources shut out now
	Problem string    `json:"problem,omitempty"` // why an order could not be armed
	Full    []string  `json:"full,omitempty"`    // tables of its kernel that count no more
}

// outcome is what the last rotation or repair left behind.
type outcome struct {
	state state
	err   error
	next  func() (time.Time, error) // nil until Run
}

func (r *Rotator) note(s state, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.state, r.seen.err = s, err
}

// Status returns what is known now; it reads neither cloud nor disk.
func (r *Rotator) Status() Status {
	r.mu.Lock()
	seen := r.seen
	r.mu.Unlock()

	current := seen.state.Current
	status := Status{
		Group:      r.group.Name,
		Generation: current.Generation,
		Traps:      current.Ports().Len(),
		Openings:   len(current.Ports().Ranges()),
		Pending:    describe(seen.state),
		RotatedAt:  seen.state.RotatedAt,
	}
	if seen.err != nil {
		status.Problem, status.Hint = seen.err.Error(), portsnare.HintOf(seen.err)
	}
	if seen.next != nil {
		status.NextAt, _ = seen.next() // an error means: not yet known
	}
	for _, host := range r.group.Hosts {
		status.Hosts = append(status.Hosts, r.hostStatus(host, current.Generation))
	}
	return status
}

func describe(s state) string {
	if s.Pending == nil {
		return ""
	}
	steps := portsnare.Steps(s.Current, s.Pending.To, s.Pending.Way)
	return "generation " + s.Pending.To.Generation.String() + ", step " + string(steps[s.Pending.Step].Kind)
}

func (r *Rotator) hostStatus(host string, generation portsnare.Generation) HostStatus {
	report, ok := r.fleet.Report(host)
	return HostStatus{
		Host:    host,
		Armed:   ok && report.Armed != "" && report.Generation == generation,
		SeenAt:  report.At,
		Bans:    report.Bans,
		Problem: report.Problem,
		Full:    report.Full,
	}
}
