package hostagent

import (
	"context"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

const (
	// Bans wait this long to be saved, so that many are saved at once: a second,
	// and so long in a storm that no more is written than banRate bytes a second.
	// What a kill costs is found in the kernel again.
	saveDelay    = time.Second
	maxSaveDelay = time.Minute
	banRate      = 256 << 10

	// slack is by how much the kernel's end of a ban, which is counted in
	// seconds, may differ from ours.
	slack = 10 * time.Second
	// restless is how much time a ban must have left for the kernel to be asked
	// for it. Otherwise it ends there while it is looked for.
	restless = 3 * time.Second
	// jump is by how much the wall clock has to jump until all bans are told anew.
	jump = 10 * time.Second
	// banLineBurst is how many bans are logged with a line each before the rest
	// are counted. One more is allowed each second.
	banLineBurst = 20
)

// restoreBans takes up the bans on disk.
func (a *Agent) restoreBans() {
	var saved savedBans
	plain, err := load(a.config.Dir, bansFile, &saved, &saved.Bans)
	a.unusable(msgBansUnread, err)
	now, by := a.clock.now(), a.restored(saved.Saved, plain)
	for _, ban := range saved.Bans {
		ban = moveBan(ban, by)
		if ban.Since.After(now) { // a clock was wrong, and no ban is longer than it was
			ban = moveBan(ban, now.Sub(ban.Since))
		}
		switch {
		case ban.Until.After(now):
			a.enter(ban)
		case portsnare.CheckSource(ban.Source) == nil && !over(ban, now):
			a.ledger.remember(ban)
		}
	}
	a.unsaved = nil
	if plain || portsnare.KindOf(err) == portsnare.Invalid || a.rebooted(saved.Saved) && len(saved.Bans) > 0 {
		a.saveSoon()
	}
}

// enter enters a ban in force, has it saved soon and tells of it; of one that is
// known already it does nothing.
func (a *Agent) enter(ban portsnare.Ban) (news bool) {
	if !a.ledger.enter(ban) {
		return false
	}
	a.saveSoon()
	a.config.Link.Ban(a.clock.outBan(ban))
	return true
}

// note enters a ban that the kernel has made. Until is when it ends there, or zero
// if nobody has looked. The kernel bans for the shortest time; repeated says that
// this one has to be prolonged there.
func (a *Agent) note(ban portsnare.Ban) (entered portsnare.Ban, repeated bool) {
	policy := a.policy()
	ban.Host = a.config.Host
	ban.Count = a.ledger.last(ban.Source, ban.Since).Count + 1
	if until := ban.Since.Add(policy.BanTime(ban.Count)); ban.Until.IsZero() || ban.Count > 1 && until.After(ban.Until) {
		ban.Until = until
	}
	ban.Hits = a.trails.since(ban.Source, ban.Since.Add(-policy.Window), policy.Strikes)
	news := a.enter(ban)
	return ban, news && ban.Count > 1
}

// prolong makes bans in the kernel last as long as ours.
func (a *Agent) prolong(ctx context.Context, bans []portsnare.Ban) {
	if len(bans) == 0 {
		return
	}
	for i, ban := range bans {
		bans[i] = a.clock.outBan(ban)
	}
	if err := a.config.Backend.Ban(ctx, bans); err != nil {
		a.config.Logger.Error(msgNotProlonged, keyBans, len(bans), keyError, err) // arm tries again
	}
}

// adopt enters bans that are in the kernel and of which no sighting told: one
// was lost, or the agent was killed in between. A ban is adopted when it is
// met for the second time, since its sighting may be on its way. It keeps the end
// that it has in the kernel, whatever the policy says by now.
func (a *Agent) adopt(ctx context.Context) {
	shift := a.clock.shift()
	inKernel, err := a.config.Backend.Bans(ctx)
	if a.trouble(msgNoBans, err); err != nil || a.clock.shift() != shift {
		return // or the clock has jumped meanwhile: the next look will do
	}
	now := a.clock.now()
	orphans := make(map[source]bool)
	var adopted, prolonged []portsnare.Ban
	for _, ban := range inKernel {
		ban.Until = ban.Until.UTC().Add(-shift)
		known := a.ledger.last(ban.Source, now)
		switch later := ban.Until.Sub(known.Until) > slack; {
		case a.ledger.inForce(ban.Source, now):
			if later && known.Until.Sub(now) > slack { // nobody bans for longer than we know
				prolonged = append(prolonged, known)
			}
		case known.Count > 0 && !later, kernel.Covered(ban.Source, a.lifted):
			// the rest of a ban that is over
		case a.orphans[ban.Source]:
			one, repeated := a.note(portsnare.Ban{Source: ban.Source, Since: earlier(ban.Until.Add(-a.policy().BanMin), now), Until: ban.Until})
			if adopted = append(adopted, one); repeated {
				prolonged = append(prolonged, one)
			}
		default:
			orphans[ban.Source] = true
		}
	}
	a.orphans = orphans
	a.logAdopted(adopted)
	a.prolong(ctx, prolonged)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// wantedBans returns the bans in force as the backend takes them.
func (a *Agent) wantedBans() []portsnare.Ban {
	from := a.clock.now().Add(restless)
	bans := make([]portsnare.Ban, 0, len(a.ledger.active))
	for _, ban := range a.ledger.inOrder() {
		if ban.Until.After(from) {
			bans = append(bans, portsnare.Ban{Host: ban.Host, Source: ban.Source, Since: a.clock.out(ban.Since), Until: a.clock.out(ban.Until), Count: ban.Count})
		}
	}
	return bans
}

// endBans moves bans that have ended to the past, and tells all others anew if the
// wall clock has jumped, in whose time they were told.
func (a *Agent) endBans() {
	a.tellEnded(a.ledger.prune(a.clock.now()))
	if shift := a.clock.shift(); (shift - a.shifted).Abs() > jump {
		a.shifted = shift
		for _, ban := range a.ledger.inOrder() {
			a.config.Link.Ban(a.clock.outBan(ban))
		}
	}
}

// tellEnded tells of bans that have ended or were lifted.
func (a *Agent) tellEnded(sources []source) {
	for _, s := range sources {
		a.config.Link.Unban(s)
		a.saveSoon()
	}
}

// saveSoon has the ledger saved, not too soon if it is large.
func (a *Agent) saveSoon() {
	if a.unsaved == nil {
		a.unsaved = time.After(min(max(saveDelay, pace(a.bansSize, banRate)), maxSaveDelay))
	}
}

// pace returns how long writing so many bytes takes at a rate of bytes a second.
func pace(size, rate int) time.Duration {
	return time.Duration(size) * time.Second / time.Duration(rate)
}

// saveBans saves the ledger if it has changed since it was saved last.
func (a *Agent) saveBans() {
	if a.unsaved == nil {
		return
	}
	a.unsaved = nil
	now, ahead := a.moment()
	all := a.ledger.all()
	for i, ban := range all {
		all[i] = moveBan(ban, ahead)
	}
	size, err := a.store.save(bansFile, savedBans{Saved: now, Bans: all})
	a.bansSize = size
	if a.trouble(msgBansUnsaved, err); err != nil {
		a.saveSoon()
	}
}

// logBanned logs a ban, unless there are too many to log each.
func (a *Agent) logBanned(ban portsnare.Ban) {
	if !a.banLines.Allow() {
		a.unlogged++
		return
	}
	a.config.Logger.Info(msgBanned, keySource, ban.Source, keyUntil, a.clock.out(ban.Until), keyCount, ban.Count)
}

// logUnlogged logs how many bans had no line of their own.
func (a *Agent) logUnlogged() {
	if a.unlogged > 0 {
		a.config.Logger.Info(msgBannedMore, keyBans, a.unlogged)
		a.unlogged = 0
	}
}

func (a *Agent) logAdopted(bans []portsnare.Ban) {
	switch len(bans) {
	case 0:
	case 1:
		a.config.Logger.Info(msgAdopted, keyBans, 1, keySource, bans[0].Source, keyUntil, a.clock.out(bans[0].Until), keyCount, bans[0].Count)
	default:
		a.config.Logger.Info(msgAdopted, keyBans, len(bans))
	}
}
