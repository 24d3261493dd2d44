package portsnare

import (
	"iter"
	"slices"
	"strings"
)

// PortSet is a set of ports. It is a value: no method changes it, the zero
// PortSet is empty and ready to use, and two sets with the same ports are
// Equal however they were made. Inside it is a sorted list of ranges that
// neither overlap nor touch, so its size follows the number of ranges and
// not the number of ports.
type PortSet struct {
	ranges []PortRange
}

// NewPortSet returns the set of all ports in the ranges given, which may
// overlap and come in any order. Each must be valid, as [ParsePortRange]
// returns them.
func NewPortSet(ranges ...PortRange) PortSet {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, compareRanges)
	merged := sorted[:0]
	for _, r := range sorted {
		if n := len(merged); n > 0 && touches(merged[n-1], r) {
			merged[n-1].To = max(merged[n-1].To, r.To)
			continue
		}
		merged = append(merged, r)
	}
	return PortSet{slices.Clip(merged)}
}

// touches reports whether b, which does not begin before a, overlaps a or
// begins right behind it.
func touches(a, b PortRange) bool {
	return a.Protocol == b.Protocol && int(b.From) <= int(a.To)+1
}

// PortSetOf returns the set of the ports given.
func PortSetOf(ports ...Port) PortSet {
	ranges := make([]PortRange, len(ports))
	for i, p := range ports {
		ranges[i] = p.Range()
	}
	return NewPortSet(ranges...)
}

// ParsePortSet reads ranges parted by commas, such as "22/tcp,8000-8009/tcp".
// The empty text is the empty set.
func ParsePortSet(s string) (PortSet, error) {
	if strings.TrimSpace(s) == "" {
		return PortSet{}, nil
	}
	var ranges []PortRange
	for field := range strings.SplitSeq(s, ",") {
		r, err := ParsePortRange(field)
		if err != nil {
			return PortSet{}, err
		}
		ranges = append(ranges, r)
	}
	return NewPortSet(ranges...), nil
}

// String returns the form that [ParsePortSet] reads, sorted and merged.
func (s PortSet) String() string {
	fields := make([]string, len(s.ranges))
	for i, r := range s.ranges {
		fields[i] = r.String()
	}
	return strings.Join(fields, ",")
}

// MarshalText implements encoding.TextMarshaler.
func (s PortSet) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *PortSet) UnmarshalText(text []byte) (err error) {
	*s, err = ParsePortSet(string(text))
	return err
}

// Ranges returns the set as the fewest ranges, sorted. The slice is the
// caller's own.
func (s PortSet) Ranges() []PortRange { return slices.Clone(s.ranges) }

// All yields every port of the set in order.
func (s PortSet) All() iter.Seq[Port] {
	return func(yield func(Port) bool) {
		for _, r := range s.ranges {
			for n := int(r.From); n <= int(r.To); n++ {
				if !yield(Port{r.Protocol, uint16(n)}) {
					return
				}
			}
		}
	}
}

// Len returns how many ports the set holds.
func (s PortSet) Len() int {
	n := 0
	for _, r := range s.ranges {
		n += r.Len()
	}
	return n
}

// Empty reports whether the set holds no port.
func (s PortSet) Empty() bool { return len(s.ranges) == 0 }

// Equal reports whether both sets hold the same ports.
func (s PortSet) Equal(other PortSet) bool { return slices.Equal(s.ranges, other.ranges) }

// Has reports whether p is in the set.
func (s PortSet) Has(p Port) bool { return s.Overlaps(p.Range()) }

// Overlaps reports whether some port of r is in the set.
func (s PortSet) Overlaps(r PortRange) bool {
	i, _ := slices.BinarySearchFunc(s.ranges, r, func(have, want PortRange) int {
		switch {
		case have.Overlaps(want):
			return 0
		case have.Protocol == want.Protocol && have.To < want.From, have.Protocol < want.Protocol:
			return -1
		}
		return 1
	})
	return i < len(s.ranges) && s.ranges[i].Overlaps(r)
}

// Union returns the ports that are in either set.
func (s PortSet) Union(other PortSet) PortSet {
	return NewPortSet(slices.Concat(s.ranges, other.ranges)...)
}

// Intersect returns the ports that are in both sets.
func (s PortSet) Intersect(other PortSet) PortSet {
	var both []PortRange
	for i, j := 0, 0; i < len(s.ranges) && j < len(other.ranges); {
		a, b := s.ranges[i], other.ranges[j]
		if a.Overlaps(b) {
			both = append(both, PortRange{a.Protocol, max(a.From, b.From), min(a.To, b.To)})
		}
		if endsBefore(a, b) {
			i++
		} else {
			j++
		}
	}
	return PortSet{both}
}

func endsBefore(a, b PortRange) bool {
	if a.Protocol != b.Protocol {
		return a.Protocol < b.Protocol
	}
	return a.To < b.To
}

// Minus returns the ports of s that are not in other.
func (s PortSet) Minus(other PortSet) PortSet {
	return s.Intersect(other.complement())
}

// complement returns every port of both protocols that is not in s.
func (s PortSet) complement() PortSet {
	var gaps []PortRange
	for _, protocol := range []Protocol{TCP, UDP} {
		next := 1 // the first port not yet known to be in s or in a gap
		for _, r := range s.ranges {
			if r.Protocol != protocol {
				continue
			}
			if next < int(r.From) {
				gaps = append(gaps, PortRange{protocol, uint16(next), r.From - 1})
			}
			next = int(r.To) + 1
		}
		if next <= 65535 {
			gaps = append(gaps, PortRange{protocol, uint16(next), 65535})
		}
	}
	return PortSet{gaps}
}

// Of returns the ports of the set that belong to one protocol.
func (s PortSet) Of(protocol Protocol) PortSet {
	return s.Intersect(PortSet{[]PortRange{{protocol, 1, 65535}}})
}
