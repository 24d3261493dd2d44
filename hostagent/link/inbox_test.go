package link

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/portsnare/portsnare"
)

func message(sequence string, data []byte) *nats.Msg {
	return &nats.Msg{Header: nats.Header{headerSequence: {sequence}}, Data: data}
}

func orderText(host string, generation int) []byte {
	text, err := json.Marshal(portsnare.Order{Host: host, Generation: portsnare.Generation(generation)})
	if err != nil {
		panic(err)
	}
	return text
}

func TestInboxHandsOverNewerOrdersForUs(t *testing.T) {
	l := newTestLink()
	l.log = slog.New(slog.DiscardHandler)
	var got []portsnare.Generation
	in := &inbox{link: l, onOrder: func(o portsnare.Order) { got = append(got, o.Generation) }}
	for _, msg := range []*nats.Msg{
		message("5", orderText("web-1", 50)),
		message("5", orderText("web-1", 51)), // stored and pushed at once
		message("4", orderText("web-1", 40)), // overtaken
		message("6", orderText("web-2", 60)), // of another host
		message("7", []byte("{")),
		message("", orderText("web-1", 70)), // not of the stream
		message("x", orderText("web-1", 71)),
		{Data: orderText("web-1", 72)},
		message("8", orderText("web-1", 30)), // a lower generation, as the controller wants
	} {
		in.take(msg)
	}
	if want := []portsnare.Generation{50, 30}; !slices.Equal(got, want) {
		t.Errorf("handed over: generations %v; want %v", got, want)
	}
}

// Whatever comes, the agent lives, and takes orders for its own host only.
func FuzzInbox(f *testing.F) {
	f.Add("1", orderText("web-1", 1))
	f.Add("2", orderText("web-2", 1))
	f.Add("x", []byte(`{"host":"web-1","traps":{"bait":"0-99999/tcp"},"allow":["::1/999"]}`))
	f.Fuzz(func(t *testing.T, sequence string, data []byte) {
		l := newTestLink()
		l.log = slog.New(slog.DiscardHandler)
		in := &inbox{link: l, onOrder: func(o portsnare.Order) {
			if n, err := strconv.ParseUint(sequence, 10, 64); o.Host != "web-1" || err != nil || n == 0 {
				t.Errorf("%q %q was handed over as %+v", sequence, data, o)
			}
		}}
		in.take(message(sequence, data))
	})
}
