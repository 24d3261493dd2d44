package hub

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/portsnare/portsnare"
)

// What one host may say at most, and within which bounds.
const (
	maxReport    = 128 << 10 // bytes; thousands of listening ports fit
	maxEvidence  = 64 << 10
	maxFull      = 16
	maxBansToday = 2 * portsnare.MaxBansPerHost
	maxRepairs   = 1 << 30
	maxBanCount  = 1 << 20
	maxBanHits   = 16      // that are kept of a ban
	maxLost      = 1 << 40 // hits

	// pastTime is how long ago a hit or a ban may have been: as long as the
	// longest ban and more.
	pastTime = 90 * 24 * time.Hour
)

// words is what serials, names of runs, backends and kernel memories look like.
var words = regexp.MustCompile(`^[A-Za-z0-9._+:-]{0,64}$`)

func checkWord(what, word string) error {
	if !words.MatchString(word) {
		return fmt.Errorf("%s %q: want letters, digits and ._+:- only, 64 at most", what, portsnare.Plain(word))
	}
	return nil
}

func checkNumber(what string, n, limit int) error {
	if n < 0 || n > limit {
		return fmt.Errorf("%s %d: want 0 to %d", what, n, limit)
	}
	return nil
}

// speaker demands that a host speaks in its own name and at no great length.
func speaker(name, host string, size, limit int) error {
	switch {
	case size > limit:
		return fmt.Errorf("%d bytes: want %d at most", size, limit)
	case name != host:
		return fmt.Errorf("it names the host %q", portsnare.Plain(name))
	}
	return nil
}

// parseReport reads a report of host that came now.
func parseReport(text []byte, host string, now time.Time) (portsnare.Report, error) {
	var r portsnare.Report
	if len(text) > maxReport {
		return r, speaker(host, host, len(text), maxReport)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	err := errors.Join(
		speaker(r.Host, host, len(text), maxReport),
		checkWord("backend", r.Backend), checkWord("serial", r.Armed), checkWord("serial", r.ArmedTraps), checkWord("run", r.Run),
		checkNumber("bans", r.Bans, maxBansToday), checkNumber("repairs", r.Repairs, maxRepairs), checkNumber("full memories", len(r.Full), maxFull),
	)
	for _, name := range r.Full {
		err = errors.Join(err, checkWord("memory", name))
	}
	r.At = now
	r.Problem, r.Version = portsnare.Plain(r.Problem), portsnare.Plain(r.Version)
	return r, err
}

// clockSkew returns how far the clock of this machine is ahead of the host's; 0
// where it is less than the way of a message can explain, or makes no sense.
func clockSkew(text []byte, now time.Time) time.Duration {
	var said struct{ At time.Time }
	if json.Unmarshal(text, &said) != nil || said.At.IsZero() {
		return 0
	}
	skew := now.Sub(said.At)
	if skew.Abs() < 10*time.Second || skew.Abs() > 100*365*24*time.Hour {
		return 0
	}
	return skew
}

func parseHits(text []byte, host string, now time.Time) (portsnare.HitBatch, error) {
	var b portsnare.HitBatch
	if len(text) > maxEvidence {
		return b, speaker(host, host, len(text), maxEvidence)
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return b, err
	}
	if err := errors.Join(speaker(b.Host, host, len(text), maxEvidence),
		checkNumber("hits", len(b.Hits), portsnare.MaxHitsPerMessage), checkNumber("lost", b.Lost, maxLost)); err != nil {
		return b, err
	}
	for i := range b.Hits {
		if err := checkHit(&b.Hits[i], host); err != nil {
			return b, err
		}
		b.Hits[i].At = bounded(b.Hits[i].At, now.Add(-pastTime), now)
	}
	return b, nil
}

func checkHit(hit *portsnare.Hit, host string) error {
	if hit.Host == "" { // it goes without saying
		hit.Host = host
	}
	switch {
	case hit.Host != host:
		return fmt.Errorf("a hit names the host %q", portsnare.Plain(hit.Host))
	case !hit.Source.IsValid() || hit.Source.Zone() != "":
		return fmt.Errorf("a hit has the source %q", portsnare.Plain(hit.Source.String()))
	case hit.Port.Number == 0:
		return errors.New("a hit has no port")
	}
	hit.Host = host // not the copy that was parsed
	return nil
}

func bounded(t, from, to time.Time) time.Time {
	switch {
	case t.Before(from):
		return from
	case t.After(to):
		return to
	}
	return t
}

func parseBans(text []byte, host string) (portsnare.BanUpdate, error) {
	var u portsnare.BanUpdate
	if len(text) > maxEvidence {
		return u, speaker(host, host, len(text), maxEvidence)
	}
	if err := json.Unmarshal(text, &u); err != nil {
		return u, err
	}
	if err := errors.Join(
		speaker(u.Host, host, len(text), maxEvidence), checkWord("run", u.Run),
		checkNumber("left", u.Left, portsnare.MaxBansPerHost), checkNumber("bans", len(u.Bans), portsnare.MaxBansPerMessage),
	); err != nil {
		return u, err
	}
	for i := range u.Bans {
		if err := checkBan(&u.Bans[i], host); err != nil {
			return u, err
		}
	}
	for _, source := range u.Ended {
		if err := portsnare.CheckSource(source); err != nil {
			return u, err
		}
	}
	return u, nil
}

// checkBan leaves the times alone but for their sense: what the clocks of host
// and controller differ by is known only when the ban is asked for.
func checkBan(ban *portsnare.Ban, host string) error {
	if ban.Host == "" {
		ban.Host = host
	}
	if ban.Host != host {
		return fmt.Errorf("a ban names the host %q", portsnare.Plain(ban.Host))
	}
	if err := errors.Join(portsnare.CheckSource(ban.Source), checkNumber("count", ban.Count, maxBanCount)); err != nil {
		return err
	}
	if length := ban.Until.Sub(ban.Since); length < 0 || length > portsnare.MaxTimeout+pastTime {
		return fmt.Errorf("a ban from %s until %s", ban.Since.Format(time.RFC3339), ban.Until.Format(time.RFC3339))
	}
	ban.Host = host
	ban.Hits = slices.Clip(ban.Hits[max(0, len(ban.Hits)-maxBanHits):])
	for i := range ban.Hits {
		if err := checkHit(&ban.Hits[i], host); err != nil {
			return err
		}
	}
	return nil
}

func sortBans(bans []portsnare.Ban) {
	slices.SortFunc(bans, func(a, b portsnare.Ban) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), a.Source.Compare(b.Source))
	})
}
