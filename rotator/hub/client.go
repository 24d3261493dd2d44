package hub

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/hub/embedded"
)

const (
	// dialTime bounds the making of a connection where the context does not.
	dialTime = 5 * time.Second
	// answerTime is how long the controller may say nothing while a request is
	// served: a few of its pulses.
	answerTime = 15 * time.Second
)

// ClientOptions say how the command line finds the controller.
type ClientOptions struct {
	Dir string // state directory of the controller, or one with authority.crt and operator.nk of it
	URL string // such as "tls://192.0.2.1:4222"; "" for the controller of this machine
}

// Client asks a controller as its operator.
type Client struct {
	nc     *nats.Conn
	ended  chan struct{} // closed when the connection is
	answer time.Duration // answerTime, save in tests
}

// Dial connects to the controller. Where there is none the error is of kind
// Unavailable. The caller must Close the client.
func Dial(ctx context.Context, opts ClientOptions) (*Client, error) {
	c, err := dial(ctx, opts)
	if err != nil {
		return nil, &portsnare.Error{Kind: portsnare.KindOf(err), Op: "reach the controller", Subject: opts.URL, Err: err}
	}
	return c, nil
}

func dial(ctx context.Context, opts ClientOptions) (*Client, error) {
	id, err := embedded.ReadIdentity(opts.Dir, opts.URL)
	if err != nil {
		return nil, err
	}
	key, err := id.Key.PublicKey()
	if err != nil {
		return nil, err
	}
	c := &Client{ended: make(chan struct{}), answer: answerTime}
	dialer := &dialer{ctx: ctx}
	defer dialer.release()
	wait := dialTime
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	c.nc, err = nats.Connect(id.URL,
		nats.Secure(id.TLS),
		nats.TLSHandshakeFirst(),
		nats.Nkey(key, id.Key.Sign),
		nats.CustomInboxPrefix(embedded.OperatorInbox),
		nats.SetCustomDialer(dialer),
		nats.Timeout(wait),
		nats.NoReconnect(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // else it prints to stderr
		nats.ClosedHandler(func(*nats.Conn) { close(c.ended) }),
	)
	if err != nil {
		return nil, dialError(err, dialer.err)
	}
	return c, nil
}

// Request asks the controller for verb and waits for the answer, or for the end
// of ctx. A controller that says nothing for 15 s, not even that it is at work, is
// an error of kind Transient. An error of the controller is a *portsnare.Error
// with its kind and hint. in and out are JSON values; either may be nil.
func (c *Client) Request(ctx context.Context, verb string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	text, err = c.ask(ctx, portsnare.SubjectControl+verb, text)
	if err != nil {
		return c.requestError(verb, err)
	}
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		return &portsnare.Error{Kind: portsnare.Invalid, Op: "read the answer to", Subject: verb, Err: err, Hint: sameVersion}
	}
	if a.Error != nil {
		return a.Error.err()
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(a.Result, out)
}

// ask returns the answer to a request, put together from its pages.
func (c *Client) ask(ctx context.Context, subject string, text []byte) ([]byte, error) {
	answers := make(chan *nats.Msg, 16)
	inbox := c.nc.NewInbox()
	sub, err := c.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection has ended, and the subscription with it
	if err := c.nc.PublishRequest(subject, inbox, text); err != nil {
		return nil, err
	}
	var whole []byte
	for {
		msg, err := c.next(ctx, answers)
		if err != nil {
			return nil, err
		}
		switch msg.Header.Get(headerPart) {
		case partBusy:
		case partMore:
			whole = append(whole, msg.Data...)
			if err := msg.Respond(nil); err != nil {
				return nil, err
			}
		default:
			if failed(msg.Data) { // it may come instead of a page
				return msg.Data, nil
			}
			return append(whole, msg.Data...), nil
		}
	}
}

// failed reports whether text is an answer that holds an error.
func failed(text []byte) bool {
	var a answer
	return json.Unmarshal(text, &a) == nil && a.Error != nil
}

var errSilent = errors.New("no sign of life")

// next returns the next message of the controller. One that came before the
// connection ended counts, also if both are noticed at once.
func (c *Client) next(ctx context.Context, answers <-chan *nats.Msg) (*nats.Msg, error) {
	silence := time.NewTimer(c.answer)
	defer silence.Stop()
	select {
	case msg := <-answers:
		return checked(msg)
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-silence.C:
		return nil, errSilent
	case <-c.ended:
	}
	select {
	case msg := <-answers:
		return checked(msg)
	default:
		return nil, nats.ErrConnectionClosed
	}
}

// checked tells an answer from the server's word that nobody answers, by the
// status that the library's own Request looks for (nats.go 1.55).
func checked(msg *nats.Msg) (*nats.Msg, error) {
	if len(msg.Data) == 0 && msg.Header.Get("Status") == "503" {
		return nil, nats.ErrNoResponders
	}
	return msg, nil
}

// Close ends the connection.
func (c *Client) Close() { c.nc.Close() }

const (
	sameVersion = "`portsnare` and the running controller are of different versions: restart the controller"
	isItRunning = "is `portsnare run` running? systemctl status portsnare"
)

func (c *Client) requestError(verb string, err error) error {
	e := &portsnare.Error{Kind: portsnare.Transient, Op: "ask the controller for", Subject: verb, Err: err}
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		e.Kind, e.Err, e.Hint = portsnare.NotFound, errors.New("it does not know that"), sameVersion
	case errors.Is(err, nats.ErrConnectionClosed):
		e.Kind, e.Err, e.Hint = portsnare.Unavailable, errors.New("the connection was closed"), isItRunning
	case errors.Is(err, errSilent):
		e.Err = fmt.Errorf("no answer within %s", c.answer)
		e.Hint = "look at the controller: journalctl -u portsnare"
	case errors.Is(err, context.DeadlineExceeded):
		e.Err = errors.New("not done in time")
		e.Hint = "the controller may still be at it: portsnare status"
	}
	return e
}

// dialError gives a failure to connect its kind. The cause of an unreachable
// address stands in refused, since the library leaves it out.
func dialError(err, refused error) error {
	var untrusted x509.UnknownAuthorityError
	switch {
	case errors.Is(err, nats.ErrNoServers) && refused != nil:
		err = refused
	case errors.Is(err, nats.ErrAuthorization), portsnare.RefusedByTLS(err):
		return &portsnare.Error{
			Kind: portsnare.Denied, Err: errors.New("it refuses the operator credential"),
			Hint: "copy " + embedded.OperatorFile + " and " + embedded.AuthorityFile + " from the controller's state directory",
		}
	case errors.As(err, &untrusted), portsnare.StrangeToTLS(err):
		return &portsnare.Error{
			Kind: portsnare.Denied, Err: err,
			Hint: "this is another controller than the one whose " + embedded.AuthorityFile + " stands in the state directory",
		}
	}
	return &portsnare.Error{Kind: portsnare.Unavailable, Err: err, Hint: isItRunning}
}

// dialer cuts a connection that is still being made when ctx ends.
type dialer struct {
	ctx  context.Context
	stop []func() bool
	err  error // of the last attempt
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	var plain net.Dialer
	conn, err := plain.DialContext(d.ctx, network, address)
	if d.err = err; err != nil {
		return nil, err
	}
	d.stop = append(d.stop, context.AfterFunc(d.ctx, func() { conn.Close() }))
	return conn, nil
}

// release leaves the connections made to themselves.
func (d *dialer) release() {
	for _, stop := range d.stop {
		stop()
	}
}
