package ipset

import (
	"slices"
	"strconv"

	"github.com/portsnare/portsnare"
)

// content is what a set holds: ports, or networks as ipset prints them.
type content struct {
	ports portsnare.PortSet
	nets  []string
}

// minus returns what is in c and not in other.
func (c content) minus(other content) content {
	there := make(map[string]bool, len(other.nets))
	for _, n := range other.nets {
		there[n] = true
	}
	return content{
		ports: c.ports.Minus(other.ports),
		nets:  slices.DeleteFunc(slices.Clone(c.nets), func(n string) bool { return there[n] }),
	}
}

// entries returns the content in the fewest words that ipset takes.
func (c content) entries() []string {
	entries := slices.Clone(c.nets)
	for _, r := range c.ports.Ranges() {
		entries = append(entries, formatRange(r))
	}
	return entries
}

// formatRange returns "8000-8009" or "22": ipset and the kernel's parameters
// know ranges without a protocol.
func formatRange(r portsnare.PortRange) string {
	if r.From == r.To {
		return strconv.Itoa(int(r.From))
	}
	return strconv.Itoa(int(r.From)) + "-" + strconv.Itoa(int(r.To))
}

// parseRange reads what formatRange writes.
func parseRange(s string) (portsnare.PortRange, error) {
	return portsnare.ParsePortRange(s + "/" + portsnare.TCP.String())
}
