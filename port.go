package portsnare

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Protocol is a transport protocol by its IANA number.
type Protocol uint8

// The protocols that have ports and that a trap can watch.
const (
	TCP Protocol = 6
	UDP Protocol = 17
)

// ParseProtocol reads "tcp" or "udp", in any case.
func ParseProtocol(s string) (Protocol, error) {
	switch strings.ToLower(s) {
	case "tcp":
		return TCP, nil
	case "udp":
		return UDP, nil
	}
	return 0, invalidf("protocol %q: want tcp or udp", s)
}

// String returns "tcp" or "udp".
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return "protocol-" + strconv.Itoa(int(p))
}

// Port is a port number of one protocol: 22/tcp and 22/udp are two ports.
type Port struct {
	Protocol Protocol
	Number   uint16 // 1 to 65535
}

// ParsePort reads "22/tcp" or "53/udp". A bare "22" is refused: which of the
// two was meant decides what is opened to the world.
func ParsePort(s string) (Port, error) {
	r, err := ParsePortRange(s)
	if err != nil {
		return Port{}, err
	}
	if r.From != r.To {
		return Port{}, invalidf("port %q: want one port such as 22/tcp, not a range", s)
	}
	return Port{r.Protocol, r.From}, nil
}

// String returns the form that [ParsePort] reads.
func (p Port) String() string { return p.Range().String() }

// Range returns the range that holds p alone.
func (p Port) Range() PortRange { return PortRange{p.Protocol, p.Number, p.Number} }

// MarshalText implements encoding.TextMarshaler.
func (p Port) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Port) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePort(string(text))
	return err
}

// PortRange is a run of neighbouring ports of one protocol, both ends included.
type PortRange struct {
	Protocol Protocol
	From, To uint16 // 1 to 65535, From <= To
}

// ParsePortRange reads "8000-8009/tcp" or "22/tcp".
func ParsePortRange(s string) (PortRange, error) {
	numbers, protocol, ok := strings.Cut(strings.TrimSpace(s), "/")
	if !ok {
		return PortRange{}, invalidf("port %q: want a number and a protocol, such as 22/tcp", s)
	}
	proto, err := ParseProtocol(protocol)
	if err != nil {
		return PortRange{}, fmt.Errorf("port %q: %w", s, err)
	}
	first, last, isRange := strings.Cut(numbers, "-")
	if !isRange {
		last = first
	}
	from, errFrom := parsePortNumber(first)
	to, errTo := parsePortNumber(last)
	switch {
	case errFrom != nil:
		return PortRange{}, fmt.Errorf("port %q: %w", s, errFrom)
	case errTo != nil:
		return PortRange{}, fmt.Errorf("port %q: %w", s, errTo)
	case from > to:
		return PortRange{}, invalidf("port %q: want the smaller number first", s)
	}
	return PortRange{proto, from, to}, nil
}

func parsePortNumber(s string) (uint16, error) {
	if s == "" || strings.TrimLeft(s, "0123456789") != "" {
		return 0, invalidf("%q is no port number: want 1 to 65535", s)
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, invalidf("port number %s: want 1 to 65535", s)
	}
	return uint16(n), nil
}

// String returns the form that [ParsePortRange] reads.
func (r PortRange) String() string {
	if r.From == r.To {
		return fmt.Sprintf("%d/%s", r.From, r.Protocol)
	}
	return fmt.Sprintf("%d-%d/%s", r.From, r.To, r.Protocol)
}

// Len returns how many ports r holds, 1 to 65535.
func (r PortRange) Len() int { return int(r.To) - int(r.From) + 1 }

// Has reports whether r holds p.
func (r PortRange) Has(p Port) bool {
	return r.Protocol == p.Protocol && r.From <= p.Number && p.Number <= r.To
}

// Overlaps reports whether some port is in both.
func (r PortRange) Overlaps(other PortRange) bool {
	return r.Protocol == other.Protocol && r.From <= other.To && other.From <= r.To
}

// MarshalText implements encoding.TextMarshaler.
func (r PortRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *PortRange) UnmarshalText(text []byte) (err error) {
	*r, err = ParsePortRange(string(text))
	return err
}

// compareRanges orders by protocol, then first port, then last.
func compareRanges(a, b PortRange) int {
	return cmp.Or(
		cmp.Compare(a.Protocol, b.Protocol),
		cmp.Compare(a.From, b.From),
		cmp.Compare(a.To, b.To),
	)
}

func invalidf(format string, args ...any) error {
	return &Error{Kind: Invalid, Err: fmt.Errorf(format, args...)}
}
