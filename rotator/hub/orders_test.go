package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
)

func manyOrders(n int, generation portsnare.Generation) []portsnare.Order {
	orders := make([]portsnare.Order, n)
	for i := range orders {
		orders[i] = testOrder(fmt.Sprintf("web-%d", i), generation)
	}
	return orders
}

// Many orders are stored, and each goes to its own host.
func TestSendMany(t *testing.T) {
	h := open(t, t.TempDir())
	in, err := intrude(t, member(t, h, "web-1200"))
	if err != nil {
		t.Fatal(err)
	}
	push, err := in.SubscribeSync(portsnare.PushSubject("web-1200"))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := h.Send(t.Context(), manyOrders(1300, 3)...); err != nil {
		t.Fatal(err)
	}
	msg, err := push.NextMsg(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var order portsnare.Order
	if err := json.Unmarshal(msg.Data, &order); err != nil || order.Host != "web-1200" || order.Generation != 3 || msg.Header.Get("Nats-Sequence") == "" {
		t.Errorf("pushed %s with %v (%v)", msg.Data, msg.Header, err)
	}
	info, err := h.stores.orders.Info(t.Context())
	if err != nil || info.State.Msgs != 1300 {
		t.Errorf("%d orders are stored, %v; want 1300", info.State.Msgs, err)
	}
	if err := h.Send(t.Context()); err != nil {
		t.Errorf("no orders at all: %v", err)
	}
}

// Where one order is refused none is stored.
func TestSendAllOrNone(t *testing.T) {
	h := open(t, t.TempDir())
	orders := manyOrders(10, 1)
	orders[7].Protected = orders[7].Traps.Secret
	if err := h.Send(t.Context(), orders...); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("got %v; want kind %q", err, portsnare.Invalid)
	}
	info, err := h.stores.orders.Info(t.Context())
	if err != nil || info.State.Msgs != 0 {
		t.Errorf("%d orders are stored, %v; want none", info.State.Msgs, err)
	}
}

func BenchmarkSend500(b *testing.B) {
	h := openFor(b, b.TempDir())
	generation := portsnare.Generation(0)
	for b.Loop() {
		generation++
		if err := h.Send(b.Context(), manyOrders(500, generation)...); err != nil {
			b.Fatal(err)
		}
	}
}
