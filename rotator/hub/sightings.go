package hub

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/portsnare/portsnare"
)

func (h *Hub) hearHit(msg *nats.Msg) {
	hit, ok := parse(h, msg.Subject, msg.Data, func(hit portsnare.Hit) string { return hit.Host })
	if ok && h.opts.OnHit != nil {
		h.opts.OnHit(hit)
	}
}

func (h *Hub) hearBan(msg *nats.Msg) {
	ban, ok := h.parseBan(msg.Subject, msg.Data)
	if ok && h.opts.OnBan != nil {
		h.opts.OnBan(ban)
	}
}

func (h *Hub) parseBan(subject string, data []byte) (portsnare.Ban, bool) {
	return parse(h, subject, data, func(b portsnare.Ban) string { return b.Host })
}

// Bans returns the bans in force that hosts have told of, sorted by host and
// source.
func (h *Hub) Bans(ctx context.Context) ([]portsnare.Ban, error) {
	type place struct {
		host   string
		source netip.Prefix
	}
	latest := make(map[place]portsnare.Ban)
	err := read(ctx, h.stores.bans, func(msg jetstream.Msg) {
		if ban, ok := h.parseBan(msg.Subject(), msg.Data()); ok {
			latest[place{ban.Host, ban.Source}] = ban
		}
	})
	if err != nil {
		return nil, &portsnare.Error{Kind: portsnare.Transient, Op: "list bans", Err: err}
	}
	var bans []portsnare.Ban
	for _, ban := range latest {
		if ban.Until.After(time.Now()) {
			bans = append(bans, ban)
		}
	}
	slices.SortFunc(bans, func(a, b portsnare.Ban) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), a.Source.Compare(b.Source))
	})
	return bans, nil
}
