package link

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
)

// NewCredential returns the token that a host which joins with the token given
// will run with. Its key is made here and never leaves this host. The caller
// stores it before [Join], since the controller may take a key and its answer
// get lost. A token that is not for joining is an error of kind Invalid.
func NewCredential(token portsnare.Token) (portsnare.Token, error) {
	if token.Use != portsnare.ToJoin {
		return portsnare.Token{}, joinError(token, &portsnare.Error{
			Kind: portsnare.Invalid, Err: errors.New("this token is not for joining"),
			Hint: "on the controller: portsnare enroll --renew " + token.Host,
		})
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		return portsnare.Token{}, joinError(token, err)
	}
	seed, err := user.Seed()
	token.Seed, token.Use = string(seed), portsnare.Joined
	return token, joinError(token, err)
}

// Join exchanges a token for the credential given: the controller takes its key
// for this host's, and the token is void. It may be called again with the same
// two. A token that was used for another key, or has expired, is an error of kind
// Conflict, an unreachable controller one of kind Unavailable.
func Join(ctx context.Context, token, credential portsnare.Token) error {
	guest, err := newIdentity(token)
	if err != nil {
		return joinError(token, badToken(err))
	}
	host, err := newIdentity(credential)
	if err != nil {
		return joinError(token, badToken(err))
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime+requestTime)
	defer cancel()
	nc, err := dialGuest(ctx, guest, token)
	if err != nil {
		return joinError(token, err)
	}
	defer nc.Close()
	return joinError(token, exchange(ctx, nc, token.Host, host.key))
}

func joinError(token portsnare.Token, err error) error {
	if err == nil {
		return nil
	}
	return &portsnare.Error{Kind: portsnare.KindOf(err), Op: "join", Subject: "as " + token.Host, Err: err}
}

// dialGuest connects with the key of the token.
func dialGuest(ctx context.Context, guest identity, token portsnare.Token) (*nats.Conn, error) {
	dialer := &plainDialer{ctx: ctx}
	nc, err := nats.Connect(strings.Join(token.URLs, ","), append(guest.options(token.Host), nats.SetCustomDialer(dialer))...)
	switch {
	case err == nil:
		return nc, nil
	case errors.Is(err, nats.ErrNoServers) && dialer.err != nil:
		err = dialer.err
	}
	if classify(err) == refused {
		return nil, &portsnare.Error{
			Kind: portsnare.Conflict, Err: errors.New("the controller does not know the token: it has expired, or another took its place"),
			Hint: "on the controller: portsnare enroll --renew " + token.Host,
		}
	}
	return nil, &portsnare.Error{
		Kind: portsnare.Unavailable, Err: err,
		Hint: "is the controller running, and does its firewall admit this host to " + strings.Join(token.URLs, ", ") + "?",
	}
}

// exchange has the controller take the key.
func exchange(ctx context.Context, nc *nats.Conn, host, key string) error {
	text, err := json.Marshal(portsnare.JoinKey{Key: key})
	if err != nil {
		return err
	}
	msg, err := nc.RequestWithContext(ctx, portsnare.JoinRequest(host), text)
	if err != nil {
		return &portsnare.Error{Kind: portsnare.Unavailable, Err: err, Hint: "try again"}
	}
	var answer portsnare.JoinAnswer
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return &portsnare.Error{Kind: portsnare.Invalid, Err: err, Hint: "are controller and agent of the same version?"}
	}
	if answer.Kind == "" {
		return nil
	}
	return &portsnare.Error{Kind: answer.Kind, Err: errors.New(portsnare.Plain(answer.Text)), Hint: portsnare.Plain(answer.Hint)}
}

// plainDialer cuts a connection when ctx ends.
type plainDialer struct {
	ctx context.Context
	err error // of the last attempt
}

// Dial implements nats.CustomDialer.
func (d *plainDialer) Dial(network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTime}
	conn, err := dialer.DialContext(d.ctx, network, address)
	if d.err = err; err != nil {
		return nil, err
	}
	context.AfterFunc(d.ctx, func() { conn.Close() })
	return conn, nil
}
