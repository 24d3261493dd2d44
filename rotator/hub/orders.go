package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/hub/embedded"
)

const (
	// maxBatch is how many messages JetStream takes at once
	// (nats-server 2.15, streamMaxAtomicBatchSize).
	maxBatch = 1000
	// storeTime bounds the wait for the store, where ctx does not, and after
	// doubtAfter the disk is looked at: a store that cannot write says nothing.
	storeTime  = 20 * time.Second
	doubtAfter = time.Second

	headerSum = "Portsnare-Crc32" // of an order's text
)

// The headers of a batch
// (https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md,
// checked 2026-11-27).
const (
	headerBatch    = "Nats-Batch-Id"
	headerSequence = "Nats-Batch-Sequence"
	headerCommit   = "Nats-Batch-Commit"
)

// Send stores each order for its host, where it replaces the one before, and
// delivers it if the host is connected. Up to 1,000 orders are stored all or none,
// with one sync; more in so many steps. They are on disk when Send returns.
// Sending them again does no harm: the hosts then report once more.
func (h *Hub) Send(ctx context.Context, orders ...portsnare.Order) error {
	messages := make([]*nats.Msg, len(orders))
	for i, order := range orders {
		var err error
		if messages[i], err = orderMessage(order); err != nil {
			return sendError(order.Host, err)
		}
	}
	for len(messages) > 0 {
		n := min(len(messages), maxBatch)
		if err := h.store(ctx, messages[:n]); err != nil {
			return sendError(subjectOf(orders), err)
		}
		messages, orders = messages[n:], orders[n:]
	}
	return nil
}

func subjectOf(orders []portsnare.Order) string {
	if len(orders) == 1 {
		return orders[0].Host
	}
	return fmt.Sprintf("%d hosts", len(orders))
}

func sendError(subject string, err error) error {
	return &portsnare.Error{Kind: portsnare.KindOf(err), Op: "send order to", Subject: subject, Err: err}
}

func orderMessage(order portsnare.Order) (*nats.Msg, error) {
	if err := order.Validate(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	if len(text) > embedded.MaxPayload-1024 { // its headers included
		return nil, storeError(nats.ErrMaxPayload)
	}
	msg := nats.NewMsg(portsnare.OrderSubject(order.Host))
	msg.Data = text
	msg.Header.Set(headerSum, checksum(text))
	msg.Header.Set(jetstream.ExpectedStreamHeader, portsnare.OrderStream)
	return msg, nil
}

func checksum(text []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(text)) }

// store stores messages as one batch.
func (h *Hub) store(ctx context.Context, messages []*nats.Msg) error {
	return h.guarded(ctx, func(ctx context.Context) error { return h.publish(ctx, messages) })
}

func (h *Hub) publish(ctx context.Context, messages []*nats.Msg) error {
	if len(messages) == 1 {
		_, err := h.stores.js.PublishMsg(ctx, messages[0])
		return err
	}
	batch := nuid.Next()
	last := len(messages) - 1
	for i, msg := range messages {
		msg.Header.Set(headerBatch, batch)
		msg.Header.Set(headerSequence, strconv.Itoa(i+1))
		if i == last {
			msg.Header.Set(headerCommit, "1")
			_, err := h.stores.js.PublishMsg(ctx, msg)
			return err
		}
		if err := h.nc.PublishMsg(msg); err != nil {
			return err
		}
	}
	return nil
}

// checkOrders drops the stored orders where one of them was damaged. The rotator
// sends each order again soon, and until then the hosts keep what they have armed.
func (h *Hub) checkOrders(ctx context.Context) error {
	damaged := ""
	err := read(ctx, h.stores.orders, func(msg jetstream.Msg) {
		sum := msg.Headers().Get(headerSum)
		if sum != checksum(msg.Data()) && !(sum == "" && json.Valid(msg.Data())) {
			damaged = portsnare.Plain(msg.Subject())
		}
	})
	if err != nil && !errors.Is(err, errShort) || err == nil && damaged == "" {
		return err
	}
	h.log.Warn(msgOrderLost, keySubject, damaged, keyError, err)
	config := h.stores.orders.CachedInfo().Config
	if err := h.stores.js.DeleteStream(ctx, config.Name); err != nil {
		return err
	}
	h.stores.orders, err = h.stores.js.CreateStream(ctx, config)
	return err
}

// Get returns the value last put under key, and its revision. A key that was
// never put is an error of kind NotFound.
func (h *Hub) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	var value []byte
	var revision uint64
	err := h.guarded(ctx, func(ctx context.Context) (err error) {
		value, revision, err = h.stores.state.get(ctx, key)
		return err
	})
	if err != nil {
		return nil, 0, &portsnare.Error{Kind: portsnare.KindOf(err), Op: "read state", Subject: key, Err: err}
	}
	return value, revision, nil
}

// Put replaces the value of that revision under key, 0 where there is to be none,
// and returns the new revision. It is on disk when Put returns. Where another
// value stands there by now the error is of kind Conflict. Keys consist of
// letters, digits and -/_=. as in NATS key-value buckets.
func (h *Hub) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	err := h.guarded(ctx, func(ctx context.Context) (err error) {
		revision, err = h.stores.state.update(ctx, key, value, revision)
		return err
	})
	if err != nil {
		return 0, &portsnare.Error{Kind: portsnare.KindOf(err), Op: "write state", Subject: key, Err: err}
	}
	return revision, nil
}

// guarded calls do, which needs the store, and gives its error the right kind. It
// does not wait for a store whose disk is full.
func (h *Hub) guarded(ctx context.Context, do func(context.Context) error) error {
	if err := h.port.Halted(); err != nil {
		return err // what is sent to a store that is about to be reopened is lost
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	doubt := time.AfterFunc(doubtAfter, func() {
		if h.port.Suspect(nil) != nil {
			cancel()
		}
	})
	defer doubt.Stop()
	return h.stored(do(ctx))
}

// stored gives an error of the store its kind, and the reason of the disk where
// that has one.
func (h *Hub) stored(err error) error {
	if err = storeError(err); portsnare.KindOf(err) == portsnare.Transient {
		return h.port.Suspect(err)
	}
	return err
}

// storeError gives an error of JetStream its kind.
func storeError(err error) error {
	kind := portsnare.Transient
	switch {
	case err == nil:
		return nil
	case portsnare.KindOf(err) != "":
		return err
	case errors.Is(err, jetstream.ErrKeyNotFound):
		kind = portsnare.NotFound
	case errors.Is(err, jetstream.ErrKeyExists): // of another revision, too
		kind, err = portsnare.Conflict, errors.New("somebody else has changed it")
	case errors.Is(err, jetstream.ErrInvalidKey):
		kind = portsnare.Invalid
	case errors.Is(err, nats.ErrMaxPayload):
		kind, err = portsnare.LimitExceeded, fmt.Errorf("it is larger than %d KiB", embedded.MaxPayload>>10)
	}
	return &portsnare.Error{Kind: kind, Err: err}
}
