package providertest

import (
	"slices"
	"testing"

	"github.com/portsnare/portsnare"
)

// A scene is a group of cases.
type scene struct {
	name string
	play func(*testing.T, Provider)
}

var scenes = []scene{
	{"states", states},
	{"limit", limit},
	{"foreign", foreign},
	{"protected", guarded},
	{"drift", drift},
	{"duplicates", duplicates},
	{"races", races},
	{"refusals", refusals},
	{"marks", marks},
	{"secrets", secrets},
	{"lifetime", lifetime},
	{"absent", absent},
	{"cancellation", cancellation},
	{"faults", faults},
	{"partial", partial},
	{"stale", stale},
	{"random", random},
}

// Run walks a provider through every case that it can be put to.
func Run(t *testing.T, p Provider) {
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) { s.play(t, p) })
	}
}

// can reports whether a human of this provider can make rules of a form.
func (p Provider) can(form Form) bool { return slices.Contains(p.Forms, form) }

// throws reports whether a fault can be injected.
func (p Provider) throws(fault Fault) bool { return slices.Contains(p.Faults, fault) }

// many returns n openings of one port to everyone, none next to another.
func many(n, first int) []portsnare.Opening {
	var ranges []portsnare.PortRange
	for i := range n {
		ranges = append(ranges, portsnare.Port{Protocol: portsnare.TCP, Number: uint16(first + 2*i)}.Range())
	}
	return portsnare.OpeningsOf(ranges, portsnare.AnySource()...)
}
