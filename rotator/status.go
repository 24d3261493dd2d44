package rotator

import (
	"fmt"
	"time"

	"github.com/portsnare/portsnare"
)

// silence is after how long without a report a host counts as missing: agents
// report every five seconds at least.
const silence = 15 * time.Second

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
	Since      time.Time            `json:"since,omitzero"`    // of the problem
	Retired    bool                 `json:"retired,omitempty"` // it is no longer configured, and is being withdrawn
	Strays     []Stray              `json:"strays,omitempty"`  // in its firewall, with marks that are not the group's
	Leaving    []string             `json:"leaving,omitempty"` // hosts that have left the group and keep its traps until what was open then is closed
	Hosts      []HostStatus         `json:"hosts"`
}

// HostStatus is what is known of one host.
type HostStatus struct {
	Host    string    `json:"host"`
	Armed   bool      `json:"armed"`             // its report is fresh, and says that it watches what it should
	Missing bool      `json:"missing"`           // there is no report of the last 15 seconds
	SeenAt  time.Time `json:"seen_at,omitzero"`  // zero: it never reported
	Bans    int       `json:"bans"`              // sources shut out, as of SeenAt
	Problem string    `json:"problem,omitempty"` // what is wrong with it
	Repairs int       `json:"repairs"`           // how often its agent found its kernel changed by others
	Full    []string  `json:"full,omitempty"`    // tables of its kernel that count no more
}

// outcome is what is known without asking anybody.
type outcome struct {
	state  state
	set    portsnare.TrapSet // what the hosts were told last
	told   bool
	strays []Stray
	leaves []string // hosts
	unkept *failure // of an attempt, where the store may not have it
}

func (r *Rotator) show(s state) {
	r.mu.Lock()
	r.seen.state, r.seen.unkept = s, nil
	r.mu.Unlock()
	r.metrics.holds(r.group.Name, s.Current.Generation, s.RotatedAt, s.Failure != nil)
}

func (r *Rotator) shown() state {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen.state
}

func (r *Rotator) fail(f *failure) {
	r.mu.Lock()
	r.seen.unkept = f
	r.mu.Unlock()
	r.metrics.failed(r.group.Name)
}

func (r *Rotator) told(set portsnare.TrapSet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.set, r.seen.told = set, true
}

func (r *Rotator) sight(strays []Stray) {
	r.mu.Lock()
	r.seen.strays = strays
	r.mu.Unlock()
	r.metrics.strayed(r.group.Name, strays)
}

func (r *Rotator) setLeaving(hosts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaving, r.seen.leaves = hosts, hosts
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
		NextAt:     seen.state.NextAt,
		Retired:    r.group.Retired,
		Strays:     seen.strays,
		Leaving:    seen.leaves,
	}
	for _, f := range []*failure{seen.state.Failure, seen.unkept} { // the newest wins
		if f != nil {
			status.Problem, status.Hint, status.Since = f.Text, f.Hint, f.At
		}
	}
	set := current
	if seen.told {
		set = seen.set
	}
	for _, host := range r.group.Hosts {
		status.Hosts = append(status.Hosts, r.hostStatus(host, set, time.Now()))
	}
	return status
}

func describe(s state) string {
	if s.Pending == nil {
		return ""
	}
	steps := s.Pending.Steps()
	step := steps[portsnare.StepIndex(steps, s.Pending.At)]
	return "generation " + s.Pending.To.Generation.String() + ", step " + step.ID
}

func (r *Rotator) hostStatus(host string, set portsnare.TrapSet, now time.Time) HostStatus {
	report, ok := r.fleet.Report(host)
	if !ok {
		return HostStatus{Host: host, Missing: true, Problem: "it has never reported"}
	}
	status := HostStatus{
		Host:    host,
		SeenAt:  report.At,
		Bans:    report.Bans,
		Repairs: report.Repairs,
		Problem: portsnare.Plain(report.Problem),
		Missing: now.Sub(report.At).Abs() > silence,
	}
	for _, table := range report.Full {
		status.Full = append(status.Full, portsnare.Plain(table))
	}
	status.Armed = !status.Missing && set.Generation > 0 && r.fleet.Watches(host, set)
	if _, err := r.claims(report); err != nil && status.Problem == "" {
		status.Problem = err.Error()
	}
	if status.Missing {
		status.Problem = fmt.Sprintf("no report for %s", now.Sub(report.At).Abs().Round(time.Second))
	}
	return status
}
