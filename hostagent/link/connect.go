package link

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
)

// identity is how a host shows who it is, and knows its controller.
type identity struct {
	user nkeys.KeyPair
	key  string // public nkey
	tls  *tls.Config
}

// newIdentity makes sense of a token. With one of the first version the host has
// no certificate, and knows the controller by the name that it dials.
func newIdentity(token portsnare.Token) (id identity, err error) {
	ca, err := x509.ParseCertificate(token.CA)
	if err != nil {
		return id, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	id.tls = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}
	if id.user, err = nkeys.FromSeed([]byte(token.Seed)); err != nil {
		return id, err
	}
	if id.key, err = id.user.PublicKey(); err != nil || token.Use == portsnare.ForEver {
		return id, err
	}
	id.tls.ServerName = portsnare.ServerName(token.CA)
	_, seed, err := nkeys.DecodeSeed([]byte(token.Seed))
	if err != nil {
		return id, err
	}
	private := ed25519.NewKeyFromSeed(seed)
	der, err := portsnare.SelfCertificate(private)
	id.tls.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}
	return id, err
}

// options are those of every connection to the controller.
func (id identity) options(host string) []nats.Option {
	return []nats.Option{
		nats.Name(host),
		nats.Secure(id.tls),
		nats.TLSHandshakeFirst(),
		nats.Nkey(id.key, id.user.Sign),
		nats.CustomInboxPrefix(portsnare.InboxPrefix(host)),
		nats.Timeout(dialTime),
		nats.PingInterval(pingEvery),
		nats.DontRandomize(),
		nats.IgnoreDiscoveredServers(),
		nats.NoReconnect(),
	}
}

func (l *Link) connect(ctx context.Context, closed func()) (*nats.Conn, error) {
	dialer := &dialer{ctx: ctx, link: l}
	nc, err := nats.Connect(strings.Join(l.token.URLs, ","), append(l.id.options(l.token.Host),
		nats.SetCustomDialer(dialer),
		nats.ClosedHandler(func(*nats.Conn) { closed() }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.log.Debug(msgAsync, keyError, err) }),
	)...)
	if errors.Is(err, nats.ErrNoServers) && dialer.err != nil {
		err = dialer.err // the cause, which the library leaves out
	}
	return nc, err
}

// occupied reports whether the controller refuses a connection because this
// host's credential is in use. The library has no error for it at that stage.
func occupied(err error) bool {
	return err != nil && strings.Contains(strings.ToLower(err.Error()), "maximum connections exceeded")
}
