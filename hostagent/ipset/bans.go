package ipset

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

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
	if err := b.able(); err != nil {
		return err
	}
	have, err := b.readSets(ctx, isAllow)
	if err != nil {
		return err
	}
	now := b.opts.Now()
	if !until.After(now) || kernel.Covered(source, have.allowed(familyOf(source.Addr()))) {
		return nil
	}
	bans := familyOf(source.Addr()).bans()
	var l lines
	l.addf("create %s %s", bans.name, bans.kind) // before the first order
	l.addf("%s", banLine(source, until, now))
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
