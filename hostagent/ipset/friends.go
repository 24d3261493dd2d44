package ipset

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// friend is what makes a [portsnare.Friend] one, without the time.
type friend struct {
	source netip.Prefix
	port   portsnare.Port
}

// Friends returns the sources that have had a conversation on a protected port,
// whoever learned it: the kernel, or whoever gave it to Set. They are sorted by
// source and port; Until is exact to a second.
func (b *Backend) Friends(ctx context.Context) ([]portsnare.Friend, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.able(); err != nil {
		return nil, err
	}
	have, err := b.readSets(ctx, isFriends)
	if err != nil {
		return nil, err
	}
	known := make([]portsnare.Friend, 0, len(have.friends))
	for _, f := range slices.SortedFunc(maps.Keys(have.friends), friend.compare) {
		known = append(known, portsnare.Friend{Source: f.source, Port: f.port, Until: have.friends[f]})
	}
	return known, nil
}

func (f friend) compare(other friend) int {
	return cmp.Or(
		f.source.Compare(other.source),
		cmp.Compare(f.port.Protocol, other.port.Protocol),
		cmp.Compare(f.port.Number, other.port.Number),
	)
}

func isCrowd(set string) bool { return strings.HasPrefix(set, prefix+crowd) }

func isFriends(set string) bool { return isCrowd(set) || strings.HasPrefix(set, prefix+friends) }

// parseFriend reads "198.51.100.7,tcp:22 timeout 1814399".
func parseFriend(fields []string, now time.Time) (f friend, until time.Time, err error) {
	source, port, _ := strings.Cut(fields[0], ",")
	source, _, _ = strings.Cut(source, "/")
	addr, err := netip.ParseAddr(source)
	if err != nil {
		return f, until, err
	}
	protocol, number, _ := strings.Cut(port, ":")
	if f.port, err = portsnare.ParsePort(number + "/" + protocol); err != nil {
		return f, until, err
	}
	f.source = portsnare.BanPrefix(addr)
	left, _, err := parseExtras(fields[1:])
	return f, now.Add(left), err
}

// befriend adds the wanted friends that are missing or end too early, the
// freshest first and no more than there is room for.
func (p program) befriend(have state, now time.Time, l *lines) {
	room, crowdRoom := friendBuckets*perBucket-len(have.friends), crowdBuckets*perBucket-have.crowd
	wanted := slices.SortedFunc(slices.Values(p.friends), func(a, b portsnare.Friend) int {
		return cmp.Or(b.Until.Compare(a.Until), friend{a.Source, a.Port}.compare(friend{b.Source, b.Port}))
	})
	for _, f := range wanted {
		public := p.public.Has(f.Port)
		if room <= 0 || public && crowdRoom <= 0 {
			continue
		}
		if f.Until.After(now) && have.friends[friend{f.Source, f.Port}].Add(precision).Before(kernel.HeldUntil(f.Until, now)) {
			room--
			l.addf("%s", friendLine(friends, f, now))
			if public {
				crowdRoom--
				l.addf("%s", friendLine(crowd, f, now))
			}
		}
	}
}

// friendLine makes a friend, or sets the time that it stays one.
func friendLine(kind string, f portsnare.Friend, now time.Time) string {
	source := f.Source.String()
	if f.Source.IsSingleIP() {
		source = f.Source.Addr().String()
	}
	return fmt.Sprintf("add %s %s,%s:%d timeout %d",
		familyOf(f.Source.Addr()).set(kind), source, f.Port.Protocol, f.Port.Number, remaining(f.Until, now))
}
