package link

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/portsnare/portsnare"
)

// headerSequence is where JetStream says which message of its stream this is,
// both when it republishes one and when it is asked for one
// (https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md,
// checked 2026-11-21).
const headerSequence = "Nats-Sequence"

// inbox takes the orders of one session.
type inbox struct {
	link    *Link
	onOrder func(portsnare.Order)
	newest  uint64 // sequence of the order taken last
}

// fetch asks for the stored order. The push subject has to be subscribed
// before, so that an order stored in between is not missed.
func (in *inbox) fetch(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, portsnare.OrderRequest(in.link.token.Host), nil)
	if err != nil {
		return fmt.Errorf("ask for the order: %w", err)
	}
	if len(msg.Data) == 0 { // there is none yet
		return nil
	}
	if bytes.Equal(msg.Data, in.link.last) {
		in.newest = sequence(msg)
		return nil
	}
	in.take(msg)
	return nil
}

// take hands an order over, unless it is older than the last or not for us.
func (in *inbox) take(msg *nats.Msg) {
	n := sequence(msg)
	if n <= in.newest {
		return
	}
	var order portsnare.Order
	if err := json.Unmarshal(msg.Data, &order); err != nil {
		in.link.log.Warn(msgIgnored, keyError, err)
		return
	}
	if order.Host != in.link.token.Host { // no word of the controller: another host made it come here
		in.link.log.Debug(msgIgnored, keyHost, order.Host)
		return
	}
	in.newest, in.link.last = n, msg.Data
	in.onOrder(order)
}

// sequence returns 0, which no stored message has, where there is none.
func sequence(msg *nats.Msg) uint64 {
	n, _ := strconv.ParseUint(msg.Header.Get(headerSequence), 10, 64)
	return n
}
