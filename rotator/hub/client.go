package hub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
)

// dialTime bounds the making of a connection where the context does not.
const dialTime = 5 * time.Second

// ClientOptions say how the command line finds the controller.
type ClientOptions struct {
	Dir string // state directory of the controller, or one with ca.crt and operator.nk of it
	URL string // such as "tls://192.0.2.1:4222"; "" for the controller of this machine
}

// Client asks a controller as its operator.
type Client struct {
	nc    *nats.Conn
	ended chan struct{} // closed when the connection is
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
	id, err := readIdentity(opts)
	if err != nil {
		return nil, err
	}
	key, err := id.seed.PublicKey()
	if err != nil {
		return nil, err
	}
	c := &Client{ended: make(chan struct{})}
	dialer := &dialer{ctx: ctx}
	defer dialer.release()
	wait := dialTime
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	c.nc, err = nats.Connect(id.url,
		nats.Secure(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: id.roots}),
		nats.TLSHandshakeFirst(),
		nats.Nkey(key, id.seed.Sign),
		nats.CustomInboxPrefix(operatorInbox),
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

// Request asks the controller for verb and waits for the answer or the end of
// ctx. An error of the controller is a *portsnare.Error with its kind and hint.
// in and out are JSON values; either may be nil.
func (c *Client) Request(ctx context.Context, verb string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	msg, err := c.ask(ctx, portsnare.SubjectControl+verb, text)
	if err != nil {
		return c.requestError(verb, err)
	}
	var a answer
	if err := json.Unmarshal(msg.Data, &a); err != nil {
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

// ask returns the answer to a request. One that came before the connection
// ended counts, also if both are noticed at once.
func (c *Client) ask(ctx context.Context, subject string, text []byte) (*nats.Msg, error) {
	answers := make(chan *nats.Msg, 1)
	inbox := c.nc.NewInbox()
	sub, err := c.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe()
	if err := c.nc.PublishRequest(subject, inbox, text); err != nil {
		return nil, err
	}
	select {
	case msg := <-answers:
		return checked(msg)
	case <-ctx.Done():
		return nil, ctx.Err()
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
		e.Kind, e.Err, e.Hint = portsnare.Unavailable, errors.New("it went away"), isItRunning
	case errors.Is(err, context.DeadlineExceeded):
		e.Err = errors.New("no answer in time")
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
	case errors.Is(err, nats.ErrAuthorization):
		return &portsnare.Error{
			Kind: portsnare.Denied, Err: errors.New("it refuses the operator credential"),
			Hint: "copy " + operatorFile + " and " + caFile + " from the controller's state directory",
		}
	case errors.As(err, &untrusted):
		return &portsnare.Error{
			Kind: portsnare.Denied, Err: err,
			Hint: "this is another controller than the one whose " + caFile + " stands in the state directory",
		}
	}
	return &portsnare.Error{Kind: portsnare.Unavailable, Err: err, Hint: isItRunning}
}

// identity is what the operator needs: how to know the controller, and the
// credential.
type identity struct {
	url   string
	roots *x509.CertPool
	seed  nkeys.KeyPair
}

func readIdentity(opts ClientOptions) (identity, error) {
	id := identity{url: opts.URL}
	if id.url == "" {
		text, err := readState(opts.Dir, urlFile)
		if err != nil {
			return id, err
		}
		id.url = strings.TrimSpace(string(text))
	}
	ca, err := readState(opts.Dir, caFile)
	if err != nil {
		return id, err
	}
	id.roots = x509.NewCertPool()
	if !id.roots.AppendCertsFromPEM(ca) {
		return id, &portsnare.Error{Kind: portsnare.Invalid, Err: fmt.Errorf("%s holds no certificate", caFile)}
	}
	seed, err := readState(opts.Dir, operatorFile)
	if err != nil {
		return id, err
	}
	if id.seed, err = nkeys.FromSeed(seed); err != nil {
		return id, &portsnare.Error{Kind: portsnare.Invalid, Err: fmt.Errorf("%s: %w", operatorFile, err)}
	}
	return id, nil
}

func readState(dir, name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &portsnare.Error{Kind: portsnare.Unavailable, Err: err, Hint: isItRunning}
	case errors.Is(err, fs.ErrPermission):
		return nil, &portsnare.Error{Kind: portsnare.Denied, Err: err, Hint: "run it as root, or as the user that the controller runs as"}
	}
	return data, err
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
