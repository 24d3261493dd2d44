package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/portsnare/portsnare"
)

func (h *Hub) hearHits(msg *nats.Msg) {
	host := hostOf(msg.Subject)
	if _, enrolled := h.guests.get(host); !enrolled {
		return
	}
	batch, err := parseHits(msg.Data, host, time.Now())
	if err != nil {
		h.refuse(host, "hits", err)
		return
	}
	if batch.Lost > 0 && h.opts.OnLost != nil {
		h.opts.OnLost(host, batch.Lost)
	}
	h.remember(keptHits+host, texts(batch.Hits, nil))
	if h.opts.OnHit != nil {
		for _, hit := range batch.Hits {
			h.opts.OnHit(hit)
		}
	}
}

// texts returns values as JSON. One that is too long is made shorter.
func texts[T any](values []T, shorten func(T) T) [][]byte {
	var all [][]byte
	for _, value := range values {
		text, err := json.Marshal(value)
		if err == nil && len(text) > entrySize && shorten != nil {
			text, err = json.Marshal(shorten(value))
		}
		if err == nil && len(text) <= entrySize {
			all = append(all, text)
		}
	}
	return all
}

// entrySize is what one entry may have of a stored message: the subject and the
// brackets go off.
const entrySize = keptSize - 256

// trimBan leaves out the hits that led to the ban, of which the last few say
// enough.
func trimBan(ban portsnare.Ban) portsnare.Ban {
	ban.Hits = ban.Hits[max(0, len(ban.Hits)-4):]
	return ban
}

// remember stores entries in the history, as many as fit in one message. It does
// not wait: what a full disk or a kill loses is history.
func (h *Hub) remember(subject string, entries [][]byte) {
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && size+len(entries[n]) < entrySize {
			size += len(entries[n]) + 1
			n++
		}
		n = max(n, 1)
		message := append(append([]byte{'['}, bytes.Join(entries[:n], []byte{','})...), ']')
		if err := h.nc.Publish(subject, message); err != nil {
			h.log.Debug(msgNotStored, keySubject, portsnare.Plain(subject), keyError, err)
			return
		}
		entries = entries[n:]
	}
}

// loadMarks reads, of each host, how far its bans were told before: the list that
// it will tell anew is no news.
func (h *Hub) loadMarks(ctx context.Context) error {
	return h.readWhatThereIs(ctx, h.stores.evidence, func(msg jetstream.Msg) {
		host, isBan := strings.CutPrefix(msg.Subject(), keptBans)
		var bans []portsnare.Ban
		if !isBan || json.Unmarshal(msg.Data(), &bans) != nil {
			return
		}
		h.bans.setMark(host, latest(bans))
	})
}

func (r *registry) setMark(host string, mark time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.of(host); mark.After(b.mark) {
		b.mark = mark
	}
}
