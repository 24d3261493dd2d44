package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/hub/embedded"
)

// DefaultValid is how long a token can be used to join.
const DefaultValid = 24 * time.Hour

// guest is a host that has been enrolled, as it is kept on disk.
type guest struct {
	// Key is the public nkey of the host, "" until it has joined.
	Key      string    `json:"key"`
	Enrolled time.Time `json:"enrolled"`

	// Invitation is the public nkey of its token, which is good until Until, and
	// for one join. Hosts of the first version have none: their token holds Key.
	Invitation string    `json:"invitation,omitempty"`
	Until      time.Time `json:"until,omitzero"`
	Joined     time.Time `json:"joined,omitzero"`
}

func (g guest) old() bool { return g.Invitation == "" }

// guests are the enrolled hosts by name.
type guests struct {
	change sync.Mutex // held while one is being enrolled, joins or is expelled

	mu   sync.Mutex
	list map[string]guest
}

func (g *guests) get(host string) (guest, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	one, ok := g.list[host]
	return one, ok
}

func (g *guests) set(host string, one guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.list[host] = one
}

func (g *guests) remove(host string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.list, host)
}

func (h *Hub) loadHosts(context.Context) error {
	for host, text := range h.stores.hosts.all() {
		var one guest
		if err := json.Unmarshal(text, &one); err != nil {
			return &portsnare.Error{
				Kind: portsnare.Invalid, Op: "read the credential of", Subject: portsnare.Plain(host), Err: err,
				Hint: "restore a backup of the state directory",
			}
		}
		h.guests.set(host, one)
		h.admit(host, one)
	}
	return nil
}

// admit lets a host in with the keys that it has.
func (h *Hub) admit(host string, one guest) {
	if one.Key != "" {
		h.port.Admit(one.Key, embedded.User{Host: host, Old: one.old()})
	}
	if one.Invitation != "" {
		h.port.Admit(one.Invitation, embedded.User{Host: host, Join: true, End: one.Until})
	}
}

func (h *Hub) dismiss(one guest) {
	for _, key := range []string{one.Key, one.Invitation} {
		if key != "" {
			h.port.Refuse(key)
		}
	}
}

// Hosts returns the enrolled hosts, sorted, those included that have yet to join.
func (h *Hub) Hosts() []string {
	h.guests.mu.Lock()
	defer h.guests.mu.Unlock()
	return slices.Sorted(maps.Keys(h.guests.list))
}

// OldHosts returns those that joined with a token of the first version, sorted.
func (h *Hub) OldHosts() []string {
	h.guests.mu.Lock()
	defer h.guests.mu.Unlock()
	var old []string
	for host, one := range h.guests.list {
		if one.old() {
			old = append(old, host)
		}
	}
	slices.Sort(old)
	return old
}

func (h *Hub) warnOfOld() {
	if old := h.OldHosts(); len(old) > 0 {
		err := errOldHosts(old)
		h.log.Warn(msgOldHosts, keyHosts, strings.Join(old, ", "), keyHint, portsnare.HintOf(err))
	}
}

func errOldHosts(hosts []string) error {
	return &portsnare.Error{
		Kind: portsnare.Denied, Op: "let in", Subject: strings.Join(hosts, ", "),
		Err: errors.New("joined with a token of the first version; until all have joined again the port shows an old certificate to everybody"),
		Hint: "for each: update its agent, `portsnare enroll --renew HOST` on the controller, " +
			"then `portsnare-agent join TOKEN` there",
	}
}

// Enroll gives a host a token that it can join with once, within [DefaultValid].
// A host that is enrolled is an error of kind Conflict, unless renew is set: then
// its present credential ends at once.
func (h *Hub) Enroll(ctx context.Context, host string, renew bool) (portsnare.Token, error) {
	return h.EnrollFor(ctx, host, renew, DefaultValid)
}

// EnrollFor is [Hub.Enroll] with another time for the token.
func (h *Hub) EnrollFor(ctx context.Context, host string, renew bool, valid time.Duration) (portsnare.Token, error) {
	token, err := h.enroll(ctx, host, renew, valid)
	if err != nil {
		return portsnare.Token{}, &portsnare.Error{Kind: portsnare.KindOf(err), Op: "enroll", Subject: host, Err: err}
	}
	return token, nil
}

func (h *Hub) enroll(ctx context.Context, host string, renew bool, valid time.Duration) (portsnare.Token, error) {
	var none portsnare.Token
	if _, err := portsnare.ParseName(host); err != nil {
		return none, err
	}
	urls := h.port.URLs()
	switch {
	case len(urls) == 0:
		return none, errNotAdvertised()
	case valid < time.Minute || valid > 365*24*time.Hour:
		return none, &portsnare.Error{Kind: portsnare.Invalid, Err: fmt.Errorf("token valid for %s: want 1m to 8760h", valid)}
	}
	h.guests.change.Lock()
	defer h.guests.change.Unlock()
	before, enrolled := h.guests.get(host)
	if enrolled && !renew {
		return none, errEnrolled(host, before, time.Now())
	}
	seed, key, err := newKey()
	if err != nil {
		return none, err
	}
	now := time.Now().UTC()
	if err := h.keep(ctx, host, guest{Enrolled: now, Invitation: key, Until: now.Add(valid)}); err != nil {
		return none, err
	}
	if enrolled {
		h.dismiss(before)
		h.roster.forget(host)
	}
	return portsnare.Token{Host: host, URLs: urls, CA: h.port.CA(), Seed: seed, Use: portsnare.ToJoin}, nil
}

func (h *Hub) keep(ctx context.Context, host string, one guest) error {
	text, err := json.Marshal(one)
	if err != nil {
		return err
	}
	if err := h.guarded(ctx, func(ctx context.Context) error { return h.stores.hosts.put(ctx, host, text) }); err != nil {
		return err
	}
	h.guests.set(host, one)
	h.admit(host, one)
	return nil
}

// Expel ends the credential of a host and its connections, and forgets its
// order. A host that is not enrolled is an error of kind NotFound.
func (h *Hub) Expel(ctx context.Context, host string) error {
	if err := h.expel(ctx, host); err != nil {
		return &portsnare.Error{Kind: portsnare.KindOf(err), Op: "expel", Subject: host, Err: err}
	}
	return nil
}

func (h *Hub) expel(ctx context.Context, host string) error {
	h.guests.change.Lock()
	defer h.guests.change.Unlock()
	one, enrolled := h.guests.get(host)
	if !enrolled {
		return errNotEnrolled()
	}
	if err := h.guarded(ctx, func(ctx context.Context) error { return h.stores.hosts.remove(ctx, host) }); err != nil {
		return err
	}
	h.guests.remove(host)
	h.dismiss(one)
	h.roster.forget(host)
	h.bans.forget(host)
	return h.stored(errors.Join(
		h.stores.orders.Purge(ctx, jetstream.WithPurgeSubject(portsnare.OrderSubject(host))),
		h.stores.reports.Purge(ctx, jetstream.WithPurgeSubject(keptReport+host)),
	))
}

// newKey returns the seed and the public half of a new nkey.
func newKey() (seed, public string, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", "", err
	}
	text, err := pair.Seed()
	if err != nil {
		return "", "", err
	}
	public, err = pair.PublicKey()
	return string(text), public, err
}

func errEnrolled(host string, one guest, now time.Time) error {
	e := &portsnare.Error{
		Kind: portsnare.Conflict, Err: errors.New("it is enrolled already"),
		Hint: "to end its credential and get a new token: portsnare enroll --renew " + host,
	}
	switch {
	case one.Key != "":
	case now.After(one.Until):
		e.Err = fmt.Errorf("its token was not used before %s", one.Until.Format(time.RFC3339))
	default:
		e.Hint = "use the token that it was given, or " + e.Hint
	}
	return e
}

func errNotEnrolled() error {
	return &portsnare.Error{
		Kind: portsnare.NotFound, Err: errors.New("it is not enrolled"),
		Hint: "`portsnare status` lists the hosts",
	}
}

func errNotAdvertised() error {
	return &portsnare.Error{
		Kind: portsnare.Invalid, Err: errors.New("it is not known at which address the host finds this controller"),
		Hint: "set `advertise` under `link` to the controller's public name or address, and restart it",
	}
}
