package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
)

// guest is a host that has been enrolled, as it is kept on disk.
type guest struct {
	Key      string    `json:"key"` // public nkey
	Enrolled time.Time `json:"enrolled"`
}

// guests are the enrolled hosts by name.
type guests struct {
	change sync.Mutex // held while one is being enrolled or expelled

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

func (h *Hub) loadHosts(ctx context.Context) error {
	h.guests.list = make(map[string]guest)
	watcher, err := h.stores.hosts.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return err
	}
	defer watcher.Stop()
	for entry := range watcher.Updates() {
		if entry == nil { // all have been read
			return nil
		}
		var one guest
		if err := json.Unmarshal(entry.Value(), &one); err != nil {
			return fmt.Errorf("credential of %s: %w", entry.Key(), err)
		}
		h.guests.list[entry.Key()] = one
		h.gate.admit(one.Key, h.gate.hostUser(entry.Key()))
	}
	return errors.New("the list of hosts could not be read to its end")
}

// Hosts returns the enrolled hosts, sorted.
func (h *Hub) Hosts() []string {
	h.guests.mu.Lock()
	defer h.guests.mu.Unlock()
	return slices.Sorted(maps.Keys(h.guests.list))
}

// Enroll gives a host a credential and returns the token that the host joins
// with. The hub keeps only the public half. A host that has a credential is an
// error of kind Conflict, unless renew is set: then the old one ends at once.
func (h *Hub) Enroll(ctx context.Context, host string, renew bool) (portsnare.Token, error) {
	token, err := h.enroll(ctx, host, renew)
	if err != nil {
		return portsnare.Token{}, &portsnare.Error{Kind: portsnare.KindOf(err), Op: "enroll", Subject: host, Err: err}
	}
	return token, nil
}

func (h *Hub) enroll(ctx context.Context, host string, renew bool) (portsnare.Token, error) {
	var none portsnare.Token
	if _, err := portsnare.ParseName(host); err != nil {
		return none, err
	}
	if len(h.where.advertise) == 0 {
		return none, errNotAdvertised()
	}
	h.guests.change.Lock()
	defer h.guests.change.Unlock()
	old, enrolled := h.guests.get(host)
	if enrolled && !renew {
		return none, errEnrolled(host)
	}
	seed, err := newSeed()
	if err != nil {
		return none, err
	}
	key, err := publicKey(seed)
	if err != nil {
		return none, err
	}
	if err := h.keep(ctx, host, guest{Key: key, Enrolled: time.Now().UTC()}); err != nil {
		return none, err
	}
	if enrolled {
		h.end(old.Key)
	}
	return portsnare.Token{Host: host, URLs: h.urls(), CA: h.keys.ca.Raw, Seed: string(seed)}, nil
}

func (h *Hub) keep(ctx context.Context, host string, one guest) error {
	text, err := json.Marshal(one)
	if err != nil {
		return err
	}
	if _, err := h.stores.hosts.Put(ctx, host, text); err != nil {
		return storeError(err)
	}
	h.guests.set(host, one)
	h.gate.admit(one.Key, h.gate.hostUser(host))
	return nil
}

func (h *Hub) urls() []string {
	urls := make([]string, len(h.where.advertise))
	for i, a := range h.where.advertise {
		urls[i] = a.url(h.port)
	}
	return urls
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
	old, enrolled := h.guests.get(host)
	if !enrolled {
		return errNotEnrolled()
	}
	if err := h.stores.hosts.Purge(ctx, host); err != nil {
		return storeError(err)
	}
	h.guests.remove(host)
	h.end(old.Key)
	h.roster.forget(host)
	return storeError(errors.Join(
		h.stores.orders.Purge(ctx, jetstream.WithPurgeSubject(portsnare.OrderSubject(host))),
		h.stores.reports.Purge(ctx, jetstream.WithPurgeSubject(portsnare.ReportSubject(host))),
	))
}

// end refuses a credential from now on, then cuts the connections that were
// made with it: one that passed the gate before is known to the server by then.
func (h *Hub) end(key string) {
	h.gate.refuse(key)
	list, err := h.server.Connz(&server.ConnzOptions{Username: true, User: key, Limit: maxConnections})
	if err != nil {
		return // only wrong options are errors
	}
	for _, c := range list.Conns {
		_ = h.server.DisconnectClientByID(c.Cid) // an error means that it is gone
	}
}

// maxConnections is what the server admits at most, hence the most of one host.
const maxConnections = server.DEFAULT_MAX_CONNECTIONS

func newSeed() ([]byte, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	return pair.Seed()
}

func publicKey(seed []byte) (string, error) {
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return "", err
	}
	return pair.PublicKey()
}

func errEnrolled(host string) error {
	return &portsnare.Error{
		Kind: portsnare.Conflict, Err: errors.New("it is enrolled already"),
		Hint: "use the token that it was given, or make a new one and end the old: portsnare enroll --renew " + host,
	}
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
