package hub

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/portsnare/portsnare"
)

// Keys returns every key under which [Hub.Put] has stored something, sorted.
func (h *Hub) Keys() []string { return slices.Sorted(maps.Keys(h.stores.state.all())) }

// Order returns the order that is stored for the host. One that was never sent is an
// error of kind NotFound.
func (h *Hub) Order(ctx context.Context, host string) (order portsnare.Order, err error) {
	err = h.guarded(ctx, func(ctx context.Context) error {
		msg, err := h.stores.orders.GetLastMsgForSubject(ctx, portsnare.OrderSubject(host))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return portsnare.NotFound
		}
		if err != nil {
			return err
		}
		return json.Unmarshal(msg.Data, &order)
	})
	if err != nil {
		return order, &portsnare.Error{Kind: portsnare.KindOf(err), Op: "read the order for", Subject: host, Err: err}
	}
	return order, nil
}
