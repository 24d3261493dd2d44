package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/portsnare/portsnare"
)

const (
	// maxTasks bounds how many requests are served at once.
	maxTasks = 64
	// pageSize bounds one message of an answer. A longer answer travels in pages,
	// each after the one before has been taken.
	pageSize = 256 << 10
	// pageTime is how long the asker may take for a page.
	pageTime = 10 * time.Second
	// pulse is how often an asker hears that its request is being served.
	pulse = 3 * time.Second
)

// Headers of an answer.
const (
	headerPart = "Portsnare-Part"
	partMore   = "more" // a page, with others after it
	partBusy   = "busy" // no page: the request is still being served
)

// answer is what a request is answered with.
type answer struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  *failure        `json:"error,omitempty"`
}

// failure is an error on its way.
type failure struct {
	Kind portsnare.Kind `json:"kind,omitempty"`
	Text string         `json:"text"`
	Hint string         `json:"hint,omitempty"`
}

func newFailure(err error) *failure {
	return &failure{Kind: portsnare.KindOf(err), Text: err.Error(), Hint: portsnare.HintOf(err)}
}

func (f *failure) err() error {
	return &portsnare.Error{Kind: f.Kind, Err: errors.New(f.Text), Hint: f.Hint}
}

// Serve answers requests for verb, such as "status", until Close. Both Req and
// Resp travel as JSON; an error travels with its kind and hint. Requests are
// served side by side, and their context ends with the hub.
func Serve[Req, Resp any](h *Hub, verb string, handle func(ctx context.Context, request Req) (Resp, error)) error {
	err := h.subscribe(portsnare.SubjectControl+verb, func(msg *nats.Msg) {
		select {
		case h.slots <- struct{}{}:
			h.tasks.Go(func() {
				defer func() { <-h.slots }()
				h.reply(msg, respond(h, msg, handle))
			})
		default:
			h.reply(msg, answer{Error: newFailure(errBusy())})
		}
	})
	if err != nil {
		return &portsnare.Error{Kind: portsnare.Invalid, Op: "serve", Subject: verb, Err: err}
	}
	return nil
}

// respond calls handle, and lets the asker know that it is at work.
func respond[Req, Resp any](h *Hub, msg *nats.Msg, handle func(context.Context, Req) (Resp, error)) answer {
	var request Req
	if err := json.Unmarshal(msg.Data, &request); err != nil {
		return answer{Error: newFailure(&portsnare.Error{Kind: portsnare.Invalid, Op: "read the request", Err: err, Hint: sameVersion})}
	}
	stop := h.beat(msg)
	defer stop()
	result, err := handle(h.ctx, request)
	var text []byte
	if err == nil {
		text, err = json.Marshal(result)
	}
	if err != nil {
		return answer{Error: newFailure(err)}
	}
	return answer{Result: text}
}

// beat tells the asker again and again that its request is being served, until
// the function returned is called.
func (h *Hub) beat(msg *nats.Msg) (stop func()) {
	done := make(chan struct{})
	h.tasks.Go(func() {
		ticker := time.NewTicker(pulse)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				busy := nats.NewMsg(msg.Reply)
				busy.Header.Set(headerPart, partBusy)
				h.said(msg, h.nc.PublishMsg(busy))
			}
		}
	})
	return func() { close(done) }
}

// reply sends the answer, in pages where it is long. What cannot be sent becomes
// an error to the asker.
func (h *Hub) reply(msg *nats.Msg, a answer) {
	text, err := json.Marshal(a)
	if err == nil {
		err = h.sendPages(msg, text)
	}
	if err == nil {
		return
	}
	h.said(msg, err)
	text, err = json.Marshal(answer{Error: newFailure(fmt.Errorf("the answer cannot be sent: %w", err))})
	if err == nil {
		err = msg.Respond(text)
	}
	h.said(msg, err)
}

func (h *Hub) sendPages(msg *nats.Msg, text []byte) error {
	if len(text) <= pageSize {
		return msg.Respond(text)
	}
	// The asker may speak below SubjectControl only.
	next := portsnare.SubjectControl + "next." + nuid.Next()
	taken, err := h.nc.SubscribeSync(next)
	if err != nil {
		return err
	}
	defer taken.Unsubscribe() //nolint:errcheck // it ends with the connection else
	for len(text) > pageSize {
		page := &nats.Msg{Subject: msg.Reply, Reply: next, Data: text[:pageSize], Header: nats.Header{headerPart: {partMore}}}
		if err := h.nc.PublishMsg(page); err != nil {
			return err
		}
		text = text[pageSize:]
		if _, err := taken.NextMsg(pageTime); err != nil {
			return fmt.Errorf("the asker takes no more pages: %w", err)
		}
	}
	return msg.Respond(text)
}

func (h *Hub) said(msg *nats.Msg, err error) {
	if err != nil {
		h.log.Debug(msgIgnored, keySubject, portsnare.Plain(msg.Subject), keyError, err)
	}
}

func errBusy() error {
	return &portsnare.Error{Kind: portsnare.RateLimited, Err: errors.New("the controller is busy"), Hint: "try again in a moment"}
}
