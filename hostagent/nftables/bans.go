package nftables

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

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
	return have.known.Friends(), nil
}

// Ban shuts each Source out until its Until, whatever stood there: it prolongs
// a ban as well as it shortens one, all in one transaction. Neither a time that is
// past nor an allowed source changes anything; of two bans of one source the last
// counts. A source must be as [portsnare.BanPrefix] makes it, else the error is
// [portsnare.Invalid] and nobody is banned. Those for which there is no room are
// named by an error of kind [portsnare.LimitExceeded]; the others are banned then.
func (b *Backend) Ban(ctx context.Context, bans []portsnare.Ban) error {
	for _, one := range bans {
		if err := portsnare.CheckSource(one.Source); err != nil {
			return fmt.Errorf("ban: %w", err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(bans) == 0 {
		return b.able()
	}
	var left []portsnare.Ban
	var err error
	for _, spare := range kernel.Spares {
		if left, err = b.ban(ctx, bans, spare); !errors.Is(err, portsnare.LimitExceeded) {
			break
		}
	}
	return errors.Join(err, kernel.NoRoom(left))
}

// ban bans and returns those for which there is no room, less spare.
func (b *Backend) ban(ctx context.Context, bans []portsnare.Ban, spare int) ([]portsnare.Ban, error) {
	have, err := b.inspect(ctx, isBans)
	if err != nil {
		return nil, err
	}
	now, stand := b.opts.Now(), have.bansUntil()
	fit, left := kernel.Impose(bans, stand, have.allowed(), now, spare)
	if len(fit) == 0 {
		return left, nil
	}
	var l lines
	have.declareBans(&l)
	if l.Len() > 0 {
		b.memory.known = nil
	}
	l.put(have.entries(fit, stand), now)
	return left, b.transact(ctx, l.String())
}

// declareBans declares the sets of bans that are missing, before the first order.
func (s state) declareBans(l *lines) {
	for _, f := range families {
		if _, ok := s.sets[f.set(ban)]; !ok {
			l.addf("table %s {", ours)
			f.bans().declare(l)
			l.addf("}")
		}
	}
}

// Unban ends the bans of sources, in one transaction. One that is not banned changes
// nothing.
func (b *Backend) Unban(ctx context.Context, sources []netip.Prefix) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	have, err := b.inspect(ctx, isBans)
	if err != nil {
		return err
	}
	var lifted []entry
	for _, source := range sources {
		if stands, ok := have.bans[source]; ok {
			lifted = append(lifted, banEntry(source, stands))
		}
	}
	b.memory.bans = nil // or the next order would not ban them again
	var l lines
	l.drop(lifted, b.opts.Now())
	return b.transact(ctx, l.String())
}

// look inspects the kernel when nobody else does.
func (b *Backend) look(ctx context.Context, wanted func(set string) bool) (state, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inspect(ctx, wanted)
}
