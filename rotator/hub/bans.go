package hub

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/portsnare/portsnare"
)

// Times of the registry.
const (
	// resyncEvery bounds how often one host is asked for its whole list.
	resyncEvery = 10 * time.Second
	// behindTime is how long a report may name an update that has not come: it
	// may overtake it.
	behindTime = 3 * time.Second
	// slack is how long after its end a ban is listed still, since clocks that
	// differ by seconds are taken for equal.
	slack = 2 * time.Second
)

// Bans is the answer to who is shut out. What is not known is said in Hosts.
type Bans struct {
	Bans  []portsnare.Ban `json:"bans"` // in force, by the controller's clock; sorted by host and source
	Hosts []HostBans      `json:"hosts"`
}

// HostBans says how much of one host's bans is known.
type HostBans struct {
	Host  string    `json:"host"`
	Bans  int       `json:"bans"`           // that are listed
	Whole bool      `json:"whole"`          // nothing is missing, and the host reports
	Heard time.Time `json:"heard,omitzero"` // when it last said something of them; zero: never since the controller started
	Why   string    `json:"why,omitempty"`  // why it is not whole
}

// registry holds the bans in force of every host, as hosts tell them.
type registry struct {
	mu    sync.Mutex
	hosts map[string]*hostBans
}

func newRegistry() *registry { return &registry{hosts: make(map[string]*hostBans)} }

// hostBans are those of one host.
type hostBans struct {
	// bans are those that the host has not called ended; times by its clock. Its
	// clock may jump, after which it tells them with other times: what seems to be
	// over is not listed, and not forgotten either.
	bans map[netip.Prefix]portsnare.Ban
	// before are those told before a list that is told anew, so that none of
	// them counts as new. nil once the list is whole.
	before map[netip.Prefix]portsnare.Ban

	run    string // of the agent
	number uint64 // of the update taken last
	left   int    // bans to come until the list is whole
	listed bool   // a list was begun and no update was missed since
	full   bool   // there are more than are kept

	// mark is the latest beginning of a ban told to OnBan, by the host's clock. An
	// earlier hub told all that began up to floor, as far as is known: it is what
	// mark was when the first list began, and zero once that list was whole.
	mark, floor time.Time
	once        bool // this hub has had a whole list

	skew   time.Duration // how far the controller's clock is ahead of the host's
	heard  time.Time
	asked  time.Time // when the list was asked for
	behind time.Time // since when reports name an update that has not come; zero: they do not
}

// of returns what is known of host. The caller holds the lock.
func (r *registry) of(host string) *hostBans {
	if r.hosts[host] == nil {
		r.hosts[host] = &hostBans{bans: make(map[netip.Prefix]portsnare.Ban)}
	}
	return r.hosts[host]
}

func (r *registry) forget(host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.hosts, host)
}

// take adds an update and returns the bans that are new. ask: an update is
// missing, and it is time to ask for the whole list.
func (r *registry) take(u portsnare.BanUpdate, now time.Time) (begun []portsnare.Ban, ask bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.of(u.Host)
	b.heard = now
	switch {
	case u.Reset:
		b.reset(u)
	case !b.listed || u.Run != b.run || u.Number != b.number+1:
		b.listed = false
		return nil, b.askNow(now)
	default:
		b.number, b.left = u.Number, u.Left
	}
	for _, source := range u.Ended {
		delete(b.bans, source)
	}
	for _, ban := range u.Bans {
		if b.add(ban, u.Reset) {
			begun = append(begun, ban)
		}
	}
	if b.left == 0 && b.before != nil {
		b.before, b.floor, b.once = nil, time.Time{}, true
	}
	return begun, false
}

// reset begins a list.
func (b *hostBans) reset(u portsnare.BanUpdate) {
	if b.before == nil {
		b.before = make(map[netip.Prefix]portsnare.Ban)
		if !b.once {
			b.floor = b.mark
		}
	}
	for source, ban := range b.bans { // a list may break off and begin anew
		if len(b.before) < portsnare.MaxBansPerHost { // or for ever
			b.before[source] = ban
		}
	}
	b.bans = make(map[netip.Prefix]portsnare.Ban)
	b.run, b.number, b.left, b.listed, b.full, b.behind = u.Run, u.Number, u.Left, true, false, time.Time{}
}

// add takes a ban and reports whether it is to be told. Of a list, what was not
// known before is new, and of the first list only what has begun after all that an
// earlier hub told. A ban that changed is not new.
func (b *hostBans) add(ban portsnare.Ban, reset bool) bool {
	known, ok := b.bans[ban.Source]
	if !ok && len(b.bans) >= portsnare.MaxBansPerHost {
		b.full = true
		return false
	}
	b.bans[ban.Source] = ban
	listing := reset || b.before != nil
	if !ok && listing {
		known, ok = b.before[ban.Source]
	}
	switch {
	case ok && (known.Count == ban.Count || known.Since.Equal(ban.Since)):
		return false
	case !ok && listing && !ban.Since.After(b.floor):
		return false
	}
	if ban.Since.After(b.mark) {
		b.mark = ban.Since
	}
	return true
}

// over reports whether a ban has ended.
func (b *hostBans) over(ban portsnare.Ban, now time.Time) bool {
	return now.Sub(ban.Until.Add(b.skew)) > slack
}

func (b *hostBans) askNow(now time.Time) bool {
	if now.Sub(b.asked) < resyncEvery {
		return false
	}
	b.asked = now
	return true
}

// compare checks what a report says of the updates sent so far, and reports
// whether the whole list is to be asked for.
func (r *registry) compare(report portsnare.Report, skew time.Duration, now time.Time) (ask bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.of(report.Host)
	b.skew = skew
	if report.Run == "" { // an agent of the first version
		return false
	}
	if b.listed && report.Run == b.run && report.BanNumber <= b.number {
		b.behind = time.Time{}
		return false
	}
	if b.behind.IsZero() {
		b.behind = now
	}
	if now.Sub(b.behind) < behindTime {
		return false
	}
	b.listed = false
	return b.askNow(now)
}

// list returns what is known of host.
func (r *registry) list(host string, now time.Time) (bans []portsnare.Ban, about HostBans) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.hosts[host]
	if b == nil {
		return nil, HostBans{Host: host, Why: "it has told nothing yet"}
	}
	for _, ban := range b.bans {
		if b.over(ban, now) {
			continue
		}
		ban.Since = bounded(ban.Since.Add(b.skew), now.Add(-pastTime), now)
		ban.Until = bounded(ban.Until.Add(b.skew), now, now.Add(portsnare.MaxTimeout))
		bans = append(bans, ban)
	}
	return bans, HostBans{Host: host, Bans: len(bans), Heard: b.heard, Why: b.lack()}
}

// lack says what is missing of the list, or "".
func (b *hostBans) lack() string {
	switch {
	case b.heard.IsZero():
		return "it has told nothing yet"
	case !b.listed:
		return "an update is missing, the whole list was asked for"
	case b.left > 0:
		return fmt.Sprintf("%d more are to come", b.left)
	case b.full:
		return fmt.Sprintf("it tells of more than %d", portsnare.MaxBansPerHost)
	}
	return ""
}

// Bans returns the bans in force on all enrolled hosts, and says of each host how
// much of it is known: nothing is left out without a word.
func (h *Hub) Bans() Bans {
	now := time.Now()
	all := Bans{Bans: []portsnare.Ban{}, Hosts: []HostBans{}}
	for _, host := range h.Hosts() {
		bans, about := h.bans.list(host, now)
		p, _ := h.roster.get(host, now)
		if about.Heard.Before(p.report.At) && p.live && about.Why == "" {
			about.Heard = p.report.At // a report says that nothing is missing
		}
		if why := absence(p, now); why != "" {
			about.Why = why
		}
		about.Whole = about.Why == ""
		all.Hosts = append(all.Hosts, about)
		all.Bans = append(all.Bans, bans...)
	}
	sortBans(all.Bans)
	return all
}

// absence says why what a host has told may be true no more, or "".
func absence(p presence, now time.Time) string {
	switch {
	case !p.known:
		return "it has never reported"
	case !p.live, now.Sub(p.report.At) >= Silence:
		return "no report since " + p.report.At.UTC().Format(time.RFC3339)
	case p.second != "" || p.fault != "":
		return p.problem()
	case p.report.Run == "":
		return "its agent is of the first version, which does not tell all"
	case p.report.Armed == "" && p.report.Problem != "": // the kernel may hold less than was told
		return "its kernel is not armed: " + p.report.Problem
	}
	return ""
}

func (h *Hub) hearBans(msg *nats.Msg) {
	host, now := hostOf(msg.Subject), time.Now()
	if _, enrolled := h.guests.get(host); !enrolled {
		return
	}
	update, err := parseBans(msg.Data, host)
	if err != nil {
		h.refuse(host, "list of bans", err)
		return
	}
	begun, ask := h.bans.take(update, now)
	if ask {
		h.ask(host)
	}
	if len(begun) == 0 {
		return
	}
	h.remember(keptBans+host, texts(begun, trimBan))
	if h.opts.OnBan != nil {
		for _, ban := range begun {
			h.opts.OnBan(ban)
		}
	}
}

// compare has a host asked for its bans where its report names others.
func (h *Hub) compare(report portsnare.Report, skew time.Duration, now time.Time) {
	if h.bans.compare(report, skew, now) {
		h.ask(report.Host)
	}
}

// ask asks a host for all of its bans.
func (h *Hub) ask(host string) {
	if err := h.nc.Publish(portsnare.ResyncSubject(host), nil); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		h.log.Debug(msgIgnored, keyHost, host, keyError, err)
	}
}

// askAll asks those who are connected already, to a server that outlives the hub.
func (h *Hub) askAll() {
	for _, host := range h.Hosts() {
		h.ask(host)
	}
}

// latest returns the latest beginning of the bans.
func latest(bans []portsnare.Ban) time.Time {
	if len(bans) == 0 {
		return time.Time{}
	}
	return slices.MaxFunc(bans, func(a, b portsnare.Ban) int { return a.Since.Compare(b.Since) }).Since
}
