package ipset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// Bans returns the sources that are shut out now, whoever banned them: the
// kernel or [Backend.Ban], sorted. Only Source and Until are set; Until is exact to a
// second.
func (b *Backend) Bans(ctx context.Context) ([]portsnare.Ban, error) {
	have, err := b.readBans(ctx)
	if err != nil {
		return nil, err
	}
	bans := make([]portsnare.Ban, 0, len(have))
	for _, source := range slices.SortedFunc(maps.Keys(have), netip.Prefix.Compare) {
		bans = append(bans, portsnare.Ban{Source: source, Until: have[source].until})
	}
	return bans, nil
}

// Dropped returns how many connection attempts of each banned source its ban has
// met, the one that had it banned by the kernel included. All have been dropped,
// but those of a friend of their port.
func (b *Backend) Dropped(ctx context.Context) (map[netip.Prefix]uint64, error) {
	have, err := b.readBans(ctx)
	if err != nil {
		return nil, err
	}
	dropped := make(map[netip.Prefix]uint64, len(have))
	for source, ban := range have {
		dropped[source] = ban.packets
	}
	return dropped, nil
}

// Ban shuts each Source out until its Until, whatever stood there: it prolongs
// a ban as well as it shortens one. All come about in one run of ipset. Neither a
// time that is past nor an allowed source changes anything; of two bans of one source
// the last counts. A source must be as [portsnare.BanPrefix] makes it, else the
// error is [portsnare.Invalid] and nobody is banned. Those for which there is no room
// are named by an error of kind [portsnare.LimitExceeded]; the others are banned then.
func (b *Backend) Ban(ctx context.Context, bans []portsnare.Ban) error {
	for _, one := range bans {
		if err := portsnare.CheckSource(one.Source); err != nil {
			return fmt.Errorf("ban: %w", err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.able(); err != nil || len(bans) == 0 {
		return err
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
	have, err := b.readSets(ctx, func(set string) bool { return isAllow(set) || isBans(set) })
	if err != nil {
		return nil, err
	}
	now, allow := b.opts.Now(), have.allowed()
	fit, left := kernel.Impose(bans, have.bansUntil(), allow, now, spare)
	if len(fit) == 0 {
		return left, nil
	}
	var l lines
	for _, f := range families { // before the first order
		if set := f.bans(); !have.sets[set.name] {
			l.addf("create %s %s", set.name, set.kind)
		}
	}
	for _, one := range fit {
		l.addf("%s", banLine(one, now))
	}
	return left, b.restoreSets(ctx, l.String())
}

// Unban ends the bans of sources, in one run of ipset. One that is not banned
// changes nothing.
func (b *Backend) Unban(ctx context.Context, sources []netip.Prefix) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.able(); err != nil {
		return err
	}
	have, err := b.readSets(ctx, isBans)
	if err != nil {
		return err
	}
	b.memory.program = nil // or the next order would not ban them again
	var l lines
	for _, source := range sources {
		if _, banned := have.bans[source]; banned {
			l.addf("%s", liftLine(source))
		}
	}
	return b.restoreSets(ctx, l.String())
}

// readBans reads the bans alone.
func (b *Backend) readBans(ctx context.Context) (map[netip.Prefix]ban, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.able(); err != nil {
		return nil, err
	}
	have, err := b.readSets(ctx, isBans)
	return have.bans, err
}
