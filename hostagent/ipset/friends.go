package ipset

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

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
	return have.known.Friends(), nil
}

func isCrowd(set string) bool { return strings.HasPrefix(set, prefix+crowd) }

func isFriends(set string) bool { return isCrowd(set) || strings.HasPrefix(set, prefix+friends) }

// parseFriend reads "198.51.100.7,tcp:22 timeout 1814399".
func parseFriend(fields []string, now time.Time) (f kernel.Pair, until time.Time, err error) {
	source, port, _ := strings.Cut(fields[0], ",")
	source, _, _ = strings.Cut(source, "/")
	addr, err := netip.ParseAddr(source)
	if err != nil {
		return f, until, err
	}
	protocol, number, _ := strings.Cut(port, ":")
	if f.Port, err = portsnare.ParsePort(number + "/" + protocol); err != nil {
		return f, until, err
	}
	f.Source = portsnare.BanPrefix(addr)
	left, _, err := parseExtras(fields[1:])
	return f, now.Add(left), err
}

// befriend adds the wanted friends that are missing or end too early, as many as
// there is room for.
func (p program) befriend(have state, now time.Time, l *lines) {
	for _, f := range kernel.FitFriends(p.friends, have.known, p.public, now, p.spare) {
		l.addf("%s", friendLine(friends, f, now))
		if p.public.Has(f.Port) {
			l.addf("%s", friendLine(crowd, f, now))
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
		familyOf(f.Source.Addr()).set(kind), source, f.Port.Protocol, f.Port.Number, kernel.Whole(f.Until, now))
}
