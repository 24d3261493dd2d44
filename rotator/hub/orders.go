package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/portsnare/portsnare"
)

// Send stores the order for its host, where it replaces the one before, and
// has it delivered if the host is connected. It is on disk when Send returns.
// Sending it again does no harm: the host then reports once more.
func (h *Hub) Send(ctx context.Context, order portsnare.Order) error {
	if err := h.send(ctx, order); err != nil {
		return &portsnare.Error{Kind: portsnare.KindOf(err), Op: "send order to", Subject: order.Host, Err: err}
	}
	return nil
}

func (h *Hub) send(ctx context.Context, order portsnare.Order) error {
	if err := order.Validate(); err != nil {
		return err
	}
	text, err := json.Marshal(order)
	if err != nil {
		return err
	}
	_, err = h.stores.js.Publish(ctx, portsnare.OrderSubject(order.Host), text,
		jetstream.WithExpectStream(portsnare.OrderStream))
	return storeError(err)
}

// Get returns the value last put under key, and its revision. A key that was
// never put is an error of kind NotFound.
func (h *Hub) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	entry, err := h.stores.state.Get(ctx, key)
	if err != nil {
		return nil, 0, &portsnare.Error{Kind: portsnare.KindOf(storeError(err)), Op: "read state", Subject: key, Err: err}
	}
	return entry.Value(), entry.Revision(), nil
}

// Put replaces the value of that revision under key, 0 where there is to be none,
// and returns the new revision. It is on disk when Put returns. Where another
// value stands there by now the error is of kind Conflict. Keys consist of
// letters, digits and -/_=. as in NATS key-value buckets.
func (h *Hub) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	revision, err := h.stores.state.Update(ctx, key, value, revision)
	if err != nil {
		return 0, &portsnare.Error{Kind: portsnare.KindOf(storeError(err)), Op: "write state", Subject: key, Err: err}
	}
	return revision, nil
}

// storeError gives an error of JetStream its kind.
func storeError(err error) error {
	kind := portsnare.Transient
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyNotFound):
		kind = portsnare.NotFound
	case errors.Is(err, jetstream.ErrKeyExists): // of another revision, too
		kind, err = portsnare.Conflict, errors.New("somebody else has changed it")
	case errors.Is(err, jetstream.ErrInvalidKey):
		kind = portsnare.Invalid
	case errors.Is(err, nats.ErrMaxPayload):
		kind, err = portsnare.LimitExceeded, fmt.Errorf("it is larger than %d MiB", maxPayload>>20)
	}
	return &portsnare.Error{Kind: kind, Err: err}
}
