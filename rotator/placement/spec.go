package placement

import (
	"fmt"
	"math"
	"slices"

	"github.com/portsnare/portsnare"
)

// minBudget is the fewest openings worth having: two that stop a sweep from
// either side and one somewhere else.
const minBudget = 3

// MaxKeep is the largest share of a trap set that the next may inherit. In a
// new grid five strata of six hold a whole range of the old one.
const MaxKeep = 0.8

// Spec says how many traps of each class a group wants.
type Spec struct {
	Neighbours int `json:"neighbours"` // traps around each hidden port, both sides together
	Radius     int `json:"radius"`     // farthest distance of a neighbour, in ports
	// Runs is the most runs of adjacent ports that the neighbours on one side
	// form, and so the openings they cost; 0: as many as there are neighbours.
	Runs     int     `json:"runs"`
	Bait     int     `json:"bait"`     // traps among the ports that scanners try first
	Openings int     `json:"openings"` // secret ranges
	Ports    int     `json:"ports"`    // ports in all secret ranges together
	Keep     float64 `json:"keep"`     // share inherited from the set before, 0 to MaxKeep
}

// Terrain is what a draw has to respect.
type Terrain struct {
	Hidden   portsnare.PortSet // protected ports that the world does not know
	Avoid    portsnare.PortSet // ports that must not become traps; protected ones included
	Budget   int               // openings that the firewall has room for, per source
	Previous portsnare.Traps   // the set before, of which Spec.Keep is kept
	// Overlap: the firewall cannot turn one opening into another, so that old
	// and new openings stand side by side while it rotates, if there is room.
	Overlap bool
}

// side returns the neighbours on one side of a hidden port and the runs they
// may form.
func (s Spec) side() (n, runs int) {
	n = (s.Neighbours + 1) / 2
	if s.Runs > 0 {
		return n, min(n, s.Runs)
	}
	return n, n
}

// Cost returns how many openings s takes for so many hidden ports, at most.
func (s Spec) Cost(hidden int) int {
	_, runs := s.side()
	return hidden*min(2*runs, s.Neighbours) + s.Bait + min(s.Openings, s.Ports)
}

// Firing returns how many traps can fire for so many hidden ports.
func (s Spec) Firing(hidden int) int {
	ports := s.Ports
	if s.Openings == 0 {
		ports = 0
	}
	return s.Neighbours*hidden + ports
}

// Fit returns s with what a budget has no room for left out. Neighbours are
// joined into fewer runs first, since nothing is lost by it but entropy; then
// bait and secret openings shrink alike, the latter by getting wider. The last
// to go are neighbours: Draw gives them to as many hidden ports as it can.
func (s Spec) Fit(hidden, budget int) Spec {
	_, s.Runs = s.side()
	s.Openings = max(0, min(s.Openings, s.Ports))
	for s.Runs > 1 && s.Cost(hidden) > budget {
		s.Runs--
	}
	if s.Cost(hidden) <= budget {
		return s
	}
	room := max(0, budget-s.Cost(hidden)+s.Bait+s.Openings)
	if wanted := s.Bait + s.Openings; wanted > 0 {
		s.Bait = min(s.Bait*room/wanted, max(0, room-1))
	}
	s.Openings = min(s.Openings, max(1, room-s.Bait))
	return s
}

// Validate returns an error of kind [portsnare.Invalid] that names the first
// value that makes no sense.
func (s Spec) Validate() error {
	switch {
	case min(s.Neighbours, s.Radius, s.Runs, s.Bait, s.Openings, s.Ports) < 0:
		return invalidf("%+v: want no negative number", s)
	case s.Neighbours > 0 && s.Neighbours >= 2*s.Radius:
		return invalidf("%d neighbours within %d ports to either side can be guessed: want fewer than %d", s.Neighbours, s.Radius, 2*s.Radius)
	case s.Neighbours == 0 && min(s.Openings, s.Ports) == 0:
		return invalidf("bait alone never bans: want neighbours or secret openings")
	case math.IsNaN(s.Keep) || s.Keep < 0 || s.Keep > MaxKeep:
		return invalidf("keep %v: want 0 to %v", s.Keep, MaxKeep)
	}
	return nil
}

func invalidf(format string, args ...any) error {
	return &portsnare.Error{Kind: portsnare.Invalid, Err: fmt.Errorf(format, args...)}
}

// overlapBudget is the fewest openings for which a choice leaves room for the
// next set: what would be given up for it costs little from here on.
const overlapBudget = 24

// room returns the openings that a choice may fill.
func (t Terrain) room() int {
	if t.Overlap && t.Budget >= overlapBudget {
		return t.Budget / 2
	}
	return t.Budget
}

// hidden returns the TCP ports worth hiding, sorted.
func (t Terrain) hidden() []int {
	var numbers []int
	for p := range t.Hidden.Of(portsnare.TCP).All() {
		numbers = append(numbers, int(p.Number))
	}
	return numbers
}

// taken returns every TCP port that must not become a trap.
func (t Terrain) taken() portsnare.PortSet {
	return t.Avoid.Union(t.Hidden).Of(portsnare.TCP)
}

// space is the whole of the TCP ports.
var space = portsnare.PortRange{Protocol: portsnare.TCP, From: 1, To: maxPort}

const maxPort = 65535

// freeFrom returns the ports from first to last, whose bounds may lie outside
// the port space, that are not taken; first may be above last, and the nearest
// to first comes first.
func freeFrom(first, last int, taken portsnare.PortSet) []uint16 {
	low, high := max(min(first, last), 1), min(max(first, last), maxPort)
	var free []uint16
	for n := low; n <= high; n++ {
		if !taken.Has(tcp(n)) {
			free = append(free, uint16(n))
		}
	}
	if first > last {
		slices.Reverse(free)
	}
	return free
}

func tcp(n int) portsnare.Port { return portsnare.Port{Protocol: portsnare.TCP, Number: uint16(n)} }
