package nftables

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// Bans returns the sources that are shut out now, whoever banned them: the
// kernel or [Backend.Ban]. Only Source and Until are set; Until is exact to a
// second.
func (b *Backend) Bans(ctx context.Context) ([]portsnare.Ban, error) {
	have, err := b.look(ctx, isBans)
	if err != nil {
		return nil, err
	}
	bans := make([]portsnare.Ban, 0, len(have.bans))
	for source, ban := range have.bans {
		bans = append(bans, portsnare.Ban{Source: source, Until: ban.until})
	}
	slices.SortFunc(bans, func(x, y portsnare.Ban) int { return x.Source.Compare(y.Source) })
	return bans, nil
}

// Dropped returns how many connection attempts of each banned source its ban has
// met, the one that had it banned by the kernel included. All have been dropped,
// but those of a friend of their port.
func (b *Backend) Dropped(ctx context.Context) (map[netip.Prefix]uint64, error) {
	have, err := b.look(ctx, isBans)
	if err != nil {
		return nil, err
	}
	dropped := make(map[netip.Prefix]uint64, len(have.bans))
	for source, ban := range have.bans {
		dropped[source] = ban.packets
	}
	return dropped, nil
}

// Friends returns the friends of every port, whoever made them: the kernel or an
// order. Until is exact to a second.
func (b *Backend) Friends(ctx context.Context) ([]portsnare.Friend, error) {
	have, err := b.look(ctx, isFriends)
	if err != nil {
		return nil, err
	}
	friends := make([]portsnare.Friend, 0, len(have.friends))
	for f, until := range have.friends {
		port := portsnare.Port{Protocol: portsnare.TCP, Number: f.port}
		friends = append(friends, portsnare.Friend{Source: f.source, Port: port, Until: until})
	}
	slices.SortFunc(friends, func(x, y portsnare.Friend) int {
		if c := x.Source.Compare(y.Source); c != 0 {
			return c
		}
		return int(x.Port.Number) - int(y.Port.Number)
	})
	return friends, nil
}

// Ban shuts each Source out until its Until, whatever stood there: it prolongs
// a ban as well as it shortens one. Neither a time that is past nor an allowed
// source changes anything. A source must be as [portsnare.BanPrefix] makes it,
// else the error is [portsnare.Invalid].
func (b *Backend) Ban(ctx context.Context, bans []portsnare.Ban) error {
	for _, one := range bans {
		if err := b.ban(ctx, one.Source, one.Until); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backend) ban(ctx context.Context, source netip.Prefix, until time.Time) error {
	if err := portsnare.CheckSource(source); err != nil {
		return fmt.Errorf("ban: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	have, err := b.inspect(ctx, isBans)
	if err != nil {
		return err
	}
	now := b.opts.Now()
	if !until.After(now) || kernel.Covered(source, have.nets[familyOf(source.Addr()).set(allow)]) {
		return nil
	}
	stands, ok := have.bans[source]
	if !ok && have.standing()[familyOf(source.Addr()).set(ban)] >= maxSources {
		return &portsnare.Error{
			Kind: portsnare.LimitExceeded, Op: "ban", Subject: source.String(),
			Err: fmt.Errorf("%d sources are banned, and no more can be", maxSources),
		}
	}
	stands.until = until
	e := banEntry(source, stands)
	e.stands = ok
	var l lines
	if _, ok := have.sets[e.set]; !ok { // before the first order
		b.memory.known = nil
		l.addf("table %s {", ours)
		familyOf(source.Addr()).bans().declare(&l)
		l.addf("}")
	}
	l.put([]entry{e}, now)
	return b.transact(ctx, l.String())
}

// look inspects the kernel when nobody else does.
func (b *Backend) look(ctx context.Context, wanted func(set string) bool) (state, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inspect(ctx, wanted)
}
