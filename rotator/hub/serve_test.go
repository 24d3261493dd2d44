package hub

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/portsnare/portsnare"
)

func dialed(t *testing.T, dir string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), ClientOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestLongAnswer: 50,000 bans reach the command line, in pages.
func TestLongAnswer(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	want := Bans{Hosts: []HostBans{{Host: "web-1", Bans: 50_000, Whole: true}}}
	for n := range 50_000 {
		want.Bans = append(want.Bans, banOf("web-1", n, time.Unix(1_800_000_000, 0).UTC()))
	}
	if err := Serve(h, "bans", func(context.Context, struct{}) (Bans, error) { return want, nil }); err != nil {
		t.Fatal(err)
	}
	c := dialed(t, dir)
	largest := 0
	sub, err := h.nc.Subscribe("_OPERATOR.>", func(msg *nats.Msg) { largest = max(largest, len(msg.Data)) })
	if err != nil {
		t.Fatal(err)
	}
	var got Bans
	if err := c.Request(t.Context(), "bans", nil, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Bans) != len(want.Bans) || got.Bans[49_999].Source != want.Bans[49_999].Source || len(got.Hosts) != 1 {
		t.Errorf("%d bans, %d hosts; want %d and 1", len(got.Bans), len(got.Hosts), len(want.Bans))
	}
	handed := make(chan struct{})
	sub.SetClosedHandler(func(string) { close(handed) })
	if err := errors.Join(h.nc.Flush(), sub.Drain()); err != nil {
		t.Fatal(err)
	}
	<-handed
	if largest == 0 || largest > pageSize {
		t.Errorf("the largest message has %d bytes; want %d at most", largest, pageSize)
	}
}

// What cannot be sent becomes an error to the asker, at once.
func TestAnswerThatCannotBeSent(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	if err := Serve(h, "odd", func(context.Context, struct{}) (float64, error) { return math.NaN(), nil }); err != nil {
		t.Fatal(err)
	}
	err := dialed(t, dir).Request(t.Context(), "odd", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("got %v; want the reason", err)
	}
}

// A request that makes no sense is an error to the asker.
func TestRequestThatMakesNoSense(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	if err := Serve(h, "address", func(_ context.Context, a netip.Addr) (netip.Addr, error) { return a, nil }); err != nil {
		t.Fatal(err)
	}
	if err := dialed(t, dir).Request(t.Context(), "address", "no address", nil); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("got %v; want kind %q", err, portsnare.Invalid)
	}
}

// A controller that says nothing is given up, and one that is at work is not.
func TestSilentController(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	if _, err := h.nc.Subscribe(portsnare.SubjectControl+"stuck", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := Serve(h, "slow", func(ctx context.Context, _ struct{}) (string, error) {
		select {
		case <-time.After(pulse + time.Second):
			return "done", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}); err != nil {
		t.Fatal(err)
	}
	c := dialed(t, dir)
	c.answer = pulse + 500*time.Millisecond
	err := c.Request(context.Background(), "stuck", nil, nil)
	if !errors.Is(err, portsnare.Transient) || err.Error() != "ask the controller for stuck: no answer within 3.5s" || portsnare.HintOf(err) == "" {
		t.Errorf("a controller that says nothing: %v (hint %q)", err, portsnare.HintOf(err))
	}
	var got string
	if err := c.Request(context.Background(), "slow", nil, &got); err != nil || got != "done" {
		t.Errorf("one that is at work: %q, %v", got, err)
	}
}

// An asker that goes away in the middle of an answer keeps nobody.
func TestAskerThatTakesNoPages(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	if err := Serve(h, "long", func(context.Context, struct{}) (string, error) { return strings.Repeat("x", 3*pageSize), nil }); err != nil {
		t.Fatal(err)
	}
	c := dialed(t, dir)
	inbox := c.nc.NewInbox()
	pages, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.nc.PublishRequest(portsnare.SubjectControl+"long", inbox, []byte("null")); err != nil {
		t.Fatal(err)
	}
	if _, err := pages.NextMsg(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	last, err := pages.NextMsg(pageTime + 5*time.Second) // after the first page nothing is asked for
	if err != nil || !failed(last.Data) {
		t.Errorf("then came %v, %v; want an error", last, err)
	}
	if err := c.Request(t.Context(), "long", nil, nil); err != nil {
		t.Errorf("the next request: %v", err)
	}
}
