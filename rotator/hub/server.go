package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/portsnare/portsnare"
)

// Bounds of the embedded server.
const (
	// maxPayload bounds one message, above all an order with its bans: 8 MiB,
	// the most that the server takes without a warning.
	maxPayload    = server.MAX_PAYLOAD_MAX_SIZE
	maxSubs       = 256 // of one connection
	maxStore      = 4 << 30
	maxMemory     = 64 << 20
	handshakeTime = 5 * time.Second // for TLS, then again for the credential
)

// The accounts of the server. See the package comment for why there are two.
const (
	controllerAccount = "CONTROLLER"
	hostAccount       = "HOSTS"
)

// accounts says what passes between them, in the words of a NATS configuration:
// %[1]s push, %[2]s request of an order, %[3]s report, %[4]s hit, %[5]s ban.
const accounts = `accounts {
	CONTROLLER {
		jetstream: enabled
		exports: [
			{stream: %[1]q, accounts: [HOSTS]}
			{service: %[2]q, accounts: [HOSTS]}
		]
		imports: [
			{stream: {account: HOSTS, subject: %[3]q}}
			{stream: {account: HOSTS, subject: %[4]q}}
			{stream: {account: HOSTS, subject: %[5]q}}
		]
	}
	HOSTS {
		exports: [
			{stream: %[3]q, accounts: [CONTROLLER]}
			{stream: %[4]q, accounts: [CONTROLLER]}
			{stream: %[5]q, accounts: [CONTROLLER]}
		]
		imports: [
			{stream: {account: CONTROLLER, subject: %[1]q}}
			{service: {account: CONTROLLER, subject: %[2]q}}
		]
	}
}`

func accountConfig() string {
	const any = "*"
	return fmt.Sprintf(accounts, portsnare.PushSubject(any), portsnare.OrderRequest(any),
		portsnare.ReportSubject(any), portsnare.HitsSubject(any), portsnare.BansSubject(any))
}

// natsServer is the embedded server. It does not listen until it is told to, so
// that nobody finds it half ready.
type natsServer struct {
	*server.Server
	log *serverLog
}

func startServer(dir string, listen address, tls *tls.Config, gate *gate, log *slog.Logger) (*natsServer, error) {
	opts := &server.Options{}
	if err := opts.ProcessConfigString(accountConfig()); err != nil {
		return nil, err
	}
	opts.ServerName = "portsnare"
	opts.Host, opts.Port = listen.host, listen.port
	if listen.port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	opts.DontListen = true
	opts.NoSigs = true
	opts.TLS, opts.TLSConfig, opts.TLSHandshakeFirst = true, tls, true
	opts.TLSTimeout, opts.AuthTimeout = handshakeTime.Seconds(), handshakeTime.Seconds()
	opts.CustomClientAuthentication, opts.AlwaysEnableNonce = gate, true
	opts.MaxPayload, opts.MaxSubs = maxPayload, maxSubs
	opts.JetStream, opts.DisableJetStreamBanner = true, true
	opts.StoreDir = filepath.Join(dir, storeDir)
	opts.JetStreamMaxStore, opts.JetStreamMaxMemory = maxStore, maxMemory
	opts.SyncAlways = true

	s, err := server.NewServer(opts)
	if err != nil {
		return nil, err
	}
	n := &natsServer{s, &serverLog{log: log}}
	s.SetLoggerV2(n.log, log.Enabled(context.Background(), slog.LevelDebug), false, false)
	if err := gate.bind(s); err != nil {
		return nil, err
	}
	s.Start()
	if !s.JetStreamEnabled() {
		err := n.log.failure("the message store did not start")
		n.stop()
		return nil, err
	}
	return n, nil
}

// listen opens the port and returns its number.
func (n *natsServer) listen() (port int, err error) {
	n.AcceptLoop(make(chan struct{}))
	if n.Addr() == nil {
		return 0, &portsnare.Error{
			Kind: portsnare.Conflict, Err: n.log.failure("the port cannot be opened"),
			Hint: "set another address to listen on, or end what holds it: ss -ltnp",
		}
	}
	return portOf(n.Addr()), nil
}

// stop returns when the server and all that it started have ended.
func (n *natsServer) stop() {
	n.Shutdown()
	n.WaitForShutdown()
}

// serverLog hands the server's log on at debug level: what matters of it comes
// back as errors. The last fatal line is kept, since the server tells the cause
// of a failed start nowhere else.
type serverLog struct {
	log   *slog.Logger
	fatal atomic.Pointer[string]
}

func (l *serverLog) failure(otherwise string) error {
	if text := l.fatal.Load(); text != nil {
		return errors.New(*text)
	}
	return errors.New(otherwise)
}

func (l *serverLog) debug(format string, v []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(msgServer, keyText, fmt.Sprintf(format, v...))
	}
}

func (l *serverLog) Noticef(format string, v ...any) { l.debug(format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.debug(format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.debug(format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.debug(format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.debug(format, v) }

func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.Store(&text)
	l.debug(format, v)
}
