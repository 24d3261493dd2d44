package portsnare

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The model visits every state that a group can get into while controllers
// rotate it over the real MoveTo and Steps. It demands at each of them that what
// the cloud admits is armed on both hosts. A controller may be killed twice at any
// instant. A call to the cloud may land in two halves, and late: when the
// controller that made it has been killed, or has stopped waiting for it. One host
// comes and goes. A rotation may be given up at any step and drawn anew. Somebody
// adds a rule under our mark, and somebody removes one of ours.

// bits is a set of trap ranges, one bit each.
type bits uint8

const (
	drawn  bits = 1<<3 - 1 // three trap sets of one range each
	heldUp bits = 1 << 3   // an opening that cannot be closed: it alone admits a protected port
	byHand bits = 1 << 4   // an opening under our mark that somebody else has made
)

func (b bits) ports() PortSet {
	var ranges []PortRange
	for i := range 5 {
		if b&(1<<i) != 0 {
			ranges = append(ranges, PortRange{Protocol: TCP, From: uint16(1000 * (i + 1)), To: uint16(1000*(i+1) + 9)})
		}
	}
	return NewPortSet(ranges...)
}

func (b bits) set() TrapSet { return TrapSet{Traps: Traps{Secret: b.ports()}} }

func bitsOf(ranges []PortRange) (b bits) {
	for _, r := range ranges {
		b |= 1 << (r.From/1000 - 1)
	}
	return b
}

// plan is a move in bits.
type plan struct{ from, to, stale bits }

// step is a step in bits.
type step struct {
	kind          StepKind
	traps, ranges bits
}

// steps returns what the real code yields.
func (m model) steps(p plan) (steps []step) {
	if known := m.known[p]; known != nil {
		return known
	}
	move := Move{From: p.from.set(), To: p.to.set(), Stale: p.stale.set().Traps, Way: m.way}
	for _, s := range move.Steps() {
		steps = append(steps, step{s.Kind, bitsOf(s.Traps.Ports().Ranges()), bitsOf(s.Ranges)})
	}
	m.known[p] = steps
	return steps
}

// call is a write to the cloud that is on its way.
type call struct{ add, del bits }

// state is everything that matters, small enough to be visited whole.
type state struct {
	current bits // stored, as are plan and step
	moving  bool
	plan    plan
	step    int8

	fresh bool // the controller has just started, and has armed nobody yet
	waits bool // it waits for the call that it made
	mine  call // that call
	late  call // one that nobody waits for

	open            bits
	told            bits // the order that stands for both hosts
	armed           [2]bits
	away            bool // the second host
	unseen          bits // opened by hand and not yet read by a controller
	kills, meddling int8
}

// model is what is varied from run to run.
type model struct {
	way          Way
	graceCovers  bool // grace is longer than a call can be on its way
	maxKills     int8
	maxMeddling  int8
	comesAndGoes bool // the second host
	proceed      bool // on_missing, else hold
	skipSettling bool // the rotation as it was before it had the step
	skipStale    bool // orders do not cover what else is open

	known map[plan][]step
	moves map[standing]plan
}

// standing is what a move is planned from, and to.
type standing struct{ current, doubtful, open, to bits }

// unsafe returns what is open and not armed.
func (m model) unsafe(s state) bits {
	gap := s.open &^ s.unseen &^ s.armed[0]
	if !m.proceed {
		gap |= s.open &^ s.unseen &^ s.armed[1]
	}
	return gap
}

// tell has an order stored; who is there arms it at once.
func (m model) tell(s state, traps bits) (n state, reported bool) {
	n = s
	n.told = traps
	if !m.skipStale {
		n.told |= s.open
	}
	n.armed[0] = n.told
	if !s.away {
		n.armed[1] = n.told
	}
	n.unseen &^= n.told & n.armed[1]
	return n, !s.away || m.proceed
}

// planned returns the move that the real code plans from here.
func (m model) planned(s state, to bits) plan {
	at := standing{current: s.current, open: s.open, to: to}
	if s.moving {
		at.doubtful = s.plan.from | s.plan.to | s.plan.stale
	}
	if known, ok := m.moves[at]; ok {
		return known
	}
	move := Standing{Current: at.current.set(), Doubtful: at.doubtful.set().Traps, Open: at.open.ports()}.MoveTo(to.set(), 9, Limits{})
	m.moves[at] = plan{bitsOf(move.From.Ports().Ranges()), to, bitsOf(move.Stale.Ports().Ranges())}
	return m.moves[at]
}

// next returns every state that may come after s.
func (m model) next(s state) []state {
	out := m.others(s)
	switch {
	case s.waits:
		if s.mine == (call{}) {
			n := s
			n.waits, n.step = false, s.step+1
			out = append(out, n)
		} else if s.late == (call{}) { // the controller gives the call up, which is still on its way
			n := s
			n.waits, n.mine, n.late = false, call{}, s.mine
			out = append(out, n)
		}
	case s.fresh:
		traps := s.current
		if s.moving {
			traps = s.plan.from | s.plan.to | s.plan.stale
		}
		n, reported := m.tell(s, traps)
		n.fresh = !reported
		out = append(out, n)
	default:
		for g := range 3 { // begin, or give up and draw anew
			n := s
			n.plan, n.moving, n.step = m.planned(s, 1<<g), true, 0
			out = append(out, n)
		}
		if s.moving {
			out = append(out, m.work(s)...)
		}
	}
	return out
}

// others returns what may happen whatever the controller does.
func (m model) others(s state) (out []state) {
	land := func(c *call, n *state) {
		for _, half := range []call{{add: c.add}, {del: c.del}, *c} {
			after := *n
			rest := call{c.add &^ half.add, c.del &^ half.del}
			after.open = after.open&^half.del | half.add
			if c == &s.mine {
				after.mine = rest
			} else {
				after.late = rest
			}
			if half != (call{}) {
				out = append(out, after)
			}
		}
	}
	land(&s.mine, &s)
	land(&s.late, &s)
	if s.kills < m.maxKills && s.late == (call{}) {
		n := s
		n.kills, n.fresh, n.waits, n.late, n.mine = s.kills+1, true, false, s.mine, call{}
		out = append(out, n)
	}
	if n := s; m.comesAndGoes {
		n.away = !s.away
		if !n.away {
			n.armed[1] = n.told // it gets the newest order
			n.unseen &^= n.told
		}
		out = append(out, n)
	}
	if s.meddling < m.maxMeddling {
		n := s
		n.meddling, n.open, n.unseen = s.meddling+1, s.open|byHand, byHand
		out = append(out, n)
		n = s
		n.meddling, n.open = s.meddling+1, s.open&^drawn
		out = append(out, n)
	}
	return out
}

// work does the step that is due.
func (m model) work(s state) []state {
	steps := m.steps(s.plan)
	due := steps[s.step]
	n := s
	switch due.kind {
	case StepArm:
		var reported bool
		if n, reported = m.tell(s, due.traps); reported {
			n.step++
		}
	case StepVerify:
		n.step++
		if s.open&^heldUp != due.ranges {
			n.step -= 2
		}
	case StepGrace:
		if m.graceCovers && s.late != (call{}) {
			return nil // it has not passed yet
		}
		n.step++
	case StepSettle:
		n.step++
		if s.open&^heldUp != due.ranges && !m.skipSettling {
			n.step = 0
		}
	default:
		want := due.ranges
		n.mine, n.waits = call{add: want &^ s.open, del: s.open &^ want &^ heldUp}, true
	}
	if int(n.step) == len(steps) {
		n.current, n.moving, n.plan, n.step = s.plan.to, false, plan{}, 0
	}
	return []state{n}
}

// explore visits every state. It returns how many there are, and the path to the
// first that is unsafe.
func (m model) explore(start state) (visited int, path []string) {
	m.known, m.moves = map[plan][]step{}, map[standing]plan{}
	before, queue := map[state]state{start: start}, []state{start}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		if m.unsafe(s) != 0 {
			for x := s; x != start; x = before[x] {
				path = append(path, fmt.Sprintf("%+v", x))
			}
			slices.Reverse(path)
			return len(before), path
		}
		for _, n := range m.next(s) {
			if _, seen := before[n]; !seen {
				before[n] = s
				queue = append(queue, n)
			}
		}
	}
	return len(before), nil
}

func starts() map[string]state {
	return map[string]state{
		"a set stands":          {current: 1, open: 1, told: 1, armed: [2]bits{1, 1}, fresh: true},
		"and a held rule":       {current: 1, open: 1 | heldUp, told: 1 | heldUp, armed: [2]bits{1 | heldUp, 1 | heldUp}, fresh: true},
		"the store was lost":    {open: 1, told: 1, armed: [2]bits{1, 1}, fresh: true},
		"the store is a backup": {current: 2, open: 1, told: 1, armed: [2]bits{1, 1}, fresh: true},
	}
}

func TestRotationModel(t *testing.T) {
	for name, m := range map[string]model{
		"killed twice":                    {maxKills: 2},
		"killed, and others meddle":       {maxKills: 1, maxMeddling: 1},
		"a host comes and goes":           {maxKills: 1, comesAndGoes: true},
		"a host comes and goes, no waits": {maxKills: 1, comesAndGoes: true, proceed: true},
	} {
		for begin, start := range starts() {
			for _, m.way = range []Way{OpenFirst, InPlace, CloseFirst} {
				t.Run(fmt.Sprintf("%s/%s/%s", name, begin, m.way), func(t *testing.T) {
					m.graceCovers = true
					visited, path := m.explore(start)
					if path != nil {
						t.Errorf("open and not armed after %d moves:\n%s", len(path), strings.Join(path, "\n"))
					}
					if visited < 10000 {
						t.Errorf("only %d states: the model does not see the rotation", visited)
					}
					t.Logf("%d states", visited)
				})
			}
		}
	}
}

// Without any one of the measures the model finds a state that is not safe.
func TestRotationModelFindsFaults(t *testing.T) {
	for _, tt := range []struct {
		name, start string
		model       model
	}{
		{"grace shorter than a call", "a set stands", model{maxKills: 2, maxMeddling: 1, way: OpenFirst}},
		{"orders without what else is open", "and a held rule", model{maxKills: 2, maxMeddling: 1, way: OpenFirst, graceCovers: true, skipStale: true}},
		{"nor a look behind the grace", "a set stands", model{maxKills: 2, maxMeddling: 1, way: OpenFirst, graceCovers: true, skipStale: true, skipSettling: true}},
	} {
		if _, path := tt.model.explore(starts()[tt.start]); path == nil {
			t.Errorf("%s: found nothing", tt.name)
		}
	}
}
