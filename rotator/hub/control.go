package hub

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/portsnare/portsnare"
)

// maxTasks bounds how many requests are served at once.
const maxTasks = 64

// Handler answers one request of the command line. What it returns travels as
// JSON; an error travels with its kind and hint. The context ends with the hub.
type Handler func(ctx context.Context, request []byte) (any, error)

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

// Serve answers requests for verb, such as "status", until Close. Requests are
// served side by side.
func (h *Hub) Serve(verb string, handle Handler) error {
	err := h.subscribe(portsnare.SubjectControl+verb, func(msg *nats.Msg) {
		select {
		case h.slots <- struct{}{}:
			h.tasks.Go(func() {
				defer func() { <-h.slots }()
				h.respond(msg, handle)
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

func (h *Hub) respond(msg *nats.Msg, handle Handler) {
	result, err := handle(h.ctx, msg.Data)
	var text []byte
	if err == nil {
		text, err = json.Marshal(result)
	}
	if err != nil {
		h.reply(msg, answer{Error: newFailure(err)})
		return
	}
	h.reply(msg, answer{Result: text})
}

func (h *Hub) reply(msg *nats.Msg, a answer) {
	text, err := json.Marshal(a)
	if err == nil {
		err = msg.Respond(text)
	}
	if err != nil {
		h.log.Debug(msgIgnored, keySubject, msg.Subject, keyError, err)
	}
}

func errBusy() error {
	return &portsnare.Error{Kind: portsnare.RateLimited, Err: errors.New("the controller is busy"), Hint: "try again in a moment"}
}
