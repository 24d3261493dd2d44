package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
)

// hearJoin takes the key that a host made for itself. The server has let only
// the owner of the host's token speak on this subject.
func (h *Hub) hearJoin(msg *nats.Msg) {
	var answer portsnare.JoinAnswer
	if err := h.join(hostOf(msg.Subject), msg.Data, time.Now().UTC()); err != nil {
		answer = portsnare.JoinAnswer{Kind: portsnare.KindOf(err), Text: err.Error(), Hint: portsnare.HintOf(err)}
		if answer.Kind == "" {
			answer.Kind = portsnare.Transient
		}
	}
	text, err := json.Marshal(answer)
	if err == nil {
		err = msg.Respond(text)
	}
	if err != nil {
		h.log.Debug(msgIgnored, keySubject, portsnare.Plain(msg.Subject), keyError, err)
	}
}

// join is asked again with the same key where the answer was lost.
func (h *Hub) join(host string, request []byte, now time.Time) error {
	var asked portsnare.JoinKey
	if err := json.Unmarshal(request, &asked); err != nil || !nkeys.IsValidPublicUserKey(asked.Key) {
		return &portsnare.Error{Kind: portsnare.Invalid, Op: "join", Subject: host, Err: errors.New("the key makes no sense")}
	}
	h.guests.change.Lock()
	defer h.guests.change.Unlock()
	one, enrolled := h.guests.get(host)
	switch {
	case !enrolled || one.Invitation == "" || now.After(one.Until):
		return errTokenVoid(host, "the token is void")
	case one.Key == asked.Key:
		return nil
	case one.Key != "":
		return errTokenVoid(host, fmt.Sprintf("the token was used at %s", one.Joined.Format(time.RFC3339)))
	case asked.Key == one.Invitation || h.taken(asked.Key):
		return &portsnare.Error{Kind: portsnare.Conflict, Op: "join", Subject: host, Err: errors.New("the key is in use")}
	}
	one.Key, one.Joined = asked.Key, now
	if err := h.keep(h.ctx, host, one); err != nil {
		return err
	}
	h.log.Info(msgJoined, keyHost, host)
	return nil
}

// taken reports whether a key belongs to somebody.
func (h *Hub) taken(key string) bool {
	h.guests.mu.Lock()
	defer h.guests.mu.Unlock()
	for _, one := range h.guests.list {
		if one.Key == key || one.Invitation == key {
			return true
		}
	}
	return false
}

func errTokenVoid(host, text string) error {
	return &portsnare.Error{
		Kind: portsnare.Conflict, Op: "join", Subject: host, Err: errors.New(text),
		Hint: "on the controller: portsnare enroll --renew " + host,
	}
}
