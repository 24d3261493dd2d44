package portsnare

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Source is the address prefix, of one family, that an opening admits.
type Source = netip.Prefix

// AnySource returns the two prefixes that hold every address: 0.0.0.0/0 and ::/0.
func AnySource() []Source {
	return []Source{
		netip.PrefixFrom(netip.IPv4Unspecified(), 0),
		netip.PrefixFrom(netip.IPv6Unspecified(), 0),
	}
}

// Opening is what one cloud firewall rule of ours admits: a port range of one
// protocol for one source prefix. Two openings are the same if they are ==.
// Clouds that take both families in one rule fold two openings into it.
type Opening struct {
	Range  PortRange `json:"range"`
	Source Source    `json:"source"` // masked; zero where a foreign rule names no prefix
}

// OpeningsOf returns one opening for each range and source, sorted.
func OpeningsOf(ranges []PortRange, sources ...Source) []Opening {
	openings := make([]Opening, 0, len(ranges)*len(sources))
	for _, r := range ranges {
		for _, source := range sources {
			openings = append(openings, Opening{r, source.Masked()})
		}
	}
	slices.SortFunc(openings, compareOpenings)
	return slices.Compact(openings)
}

// String returns such as "8000-8009/tcp from 0.0.0.0/0".
func (o Opening) String() string {
	if !o.Source.IsValid() {
		return o.Range.String() + " from a named source"
	}
	return fmt.Sprintf("%s from %s", o.Range, o.Source)
}

// valid reports whether o names ports and whom to admit to them.
func (o Opening) valid() bool {
	r := o.Range
	return (r.Protocol == TCP || r.Protocol == UDP) && r.From >= 1 && r.From <= r.To && o.Source.IsValid()
}

// Covers reports whether o admits everything that other admits.
func (o Opening) Covers(other Opening) bool {
	return o.Range.Protocol == other.Range.Protocol &&
		o.Range.From <= other.Range.From && other.Range.To <= o.Range.To &&
		o.Source.IsValid() && other.Source.IsValid() &&
		o.Source.Bits() <= other.Source.Bits() && o.Source.Contains(other.Source.Addr())
}

func compareOpenings(a, b Opening) int {
	return cmp.Or(
		compareRanges(a.Range, b.Range),
		cmp.Compare(a.Source.Addr().BitLen(), b.Source.Addr().BitLen()),
		a.Source.Compare(b.Source),
	)
}

// Rule is a rule that stands in a cloud firewall, ours or foreign. One that
// admits several port ranges, such as every port of both protocols, is told as
// several Rules with the same ID. One that speaks of no port, such as a rule
// for ICMP, has a Range that ends at 0: it opens nothing and still takes room.
type Rule struct {
	ID      string  `json:"id"` // the provider's own, by which it is removed
	Opening Opening `json:"opening"`
	Deny    bool    `json:"deny,omitempty"` // a foreign rule that refuses; never an opening
	Mark    Mark    `json:"mark,omitempty"`
}

// Ours returns the rules that bear one of marks; foreign returns all others. The
// empty mark is nobody's.
func Ours(rules []Rule, marks ...Mark) (ours, foreign []Rule) {
	for _, r := range rules {
		if r.Mark != "" && slices.Contains(marks, r.Mark) {
			ours = append(ours, r)
		} else {
			foreign = append(foreign, r)
		}
	}
	return ours, foreign
}

// OpenPorts returns every port that some rule admits to anybody.
func OpenPorts(rules []Rule) PortSet {
	var ranges []PortRange
	for _, r := range rules {
		if !r.Deny && r.Opening.Range.To > 0 {
			ranges = append(ranges, r.Opening.Range)
		}
	}
	return NewPortSet(ranges...)
}
