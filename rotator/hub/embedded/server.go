package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
)

// Bounds of the embedded server.
const (
	// MaxPayload bounds one message, above all an order.
	MaxPayload = 1 << 20
	maxPending = 8 << 20  // that a connection may have unread before it is cut
	maxSubs    = 64       // of one connection
	maxStore   = 16 << 30 // of all streams; a host has 1 MiB of it
	maxMemory  = 64 << 20
	authTime   = 5 * time.Second
	pingEvery  = 5 * time.Second // where the other side is silent
	maxPings   = 2               // unanswered, then the connection is cut
)

// The accounts of the server. See the package comment of hub for why there are two.
const (
	controllerAccount = "CONTROLLER"
	hostAccount       = "HOSTS"
)

// accounts says what passes between them, in the words of a NATS configuration:
// %[1]s push, %[2]s request of an order, %[3]s report, %[4]s hits, %[5]s bans,
// %[6]s resync, %[7]s join.
const accounts = `accounts {
	CONTROLLER {
		jetstream: enabled
		exports: [
			{stream: %[1]q, accounts: [HOSTS]}
			{stream: %[6]q, accounts: [HOSTS]}
			{service: %[2]q, accounts: [HOSTS]}
			{service: %[7]q, accounts: [HOSTS]}
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
			{stream: {account: CONTROLLER, subject: %[6]q}}
			{service: {account: CONTROLLER, subject: %[2]q}}
			{service: {account: CONTROLLER, subject: %[7]q}}
		]
	}
}`

func accountConfig() string {
	const any = "*"
	return fmt.Sprintf(accounts, portsnare.PushSubject(any), portsnare.OrderRequest(any),
		portsnare.ReportSubject(any), portsnare.HitsSubject(any), portsnare.BansSubject(any),
		portsnare.ResyncSubject(any), portsnare.JoinRequest(any))
}

// Options of a [Server].
type Options struct {
	Dir       string   // state directory, created with mode 0700; one server at a time
	Listen    string   // such as "0.0.0.0:4222", which is the default; port 0 for any
	Advertise []string // where hosts find the server: names or addresses, a port if it differs

	// OnDouble hears that somebody at addr was refused because the host's
	// connection is alive. It must not block, and may be nil.
	OnDouble func(host, addr string)
	// OnAdmit hears that the host's connection comes from addr now. The same holds.
	OnAdmit func(host, addr string)

	Logger *slog.Logger
}

// Server is the embedded server. Its methods may be called by several goroutines
// at once.
type Server struct {
	opts  Options
	log   *slog.Logger
	where addresses

	lock  *os.File
	keys  *keyring
	gate  *gate
	nats  *server.Server
	own   nkeys.KeyPair // credential of the controller, which lives as long as the process
	front *front
	disk  *disk
	close sync.Once
}

// Start starts the server on what an earlier one left in the state directory, or
// on a new one. Nobody can connect before Listen. The caller must Close it.
func Start(opts Options) (*Server, error) {
	s := &Server{opts: opts, log: opts.Logger, gate: newGate(time.Now)}
	for _, step := range []func() error{s.claim, s.startNATS, s.admitOwn} {
		if err := step(); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) claim() (err error) {
	if s.where, err = parseAddresses(s.opts.Listen, s.opts.Advertise); err != nil {
		return err
	}
	if s.lock, err = claim(s.opts.Dir); err != nil {
		return err
	}
	s.keys, err = openKeyring(s.opts.Dir, s.where.names(), time.Now, s.log)
	return err
}

func (s *Server) natsOptions() (*server.Options, error) {
	opts := &server.Options{}
	if err := opts.ProcessConfigString(accountConfig()); err != nil {
		return nil, err
	}
	name, err := randomBytes(8)
	if err != nil {
		return nil, err
	}
	opts.ServerName = fmt.Sprintf("%x", name)
	opts.DontListen, opts.NoSigs = true, true
	opts.AuthTimeout = authTime.Seconds()
	opts.PingInterval, opts.MaxPingsOut = pingEvery, maxPings
	opts.CustomClientAuthentication, opts.AlwaysEnableNonce = s.gate, true
	opts.MaxPayload, opts.MaxPending, opts.MaxSubs = MaxPayload, maxPending, maxSubs
	opts.JetStream, opts.DisableJetStreamBanner = true, true
	opts.StoreDir = filepath.Join(s.opts.Dir, storeDir)
	opts.JetStreamMaxStore, opts.JetStreamMaxMemory = maxStore, maxMemory
	opts.SyncAlways = true
	return opts, nil
}

func (s *Server) startNATS() error {
	opts, err := s.natsOptions()
	if err != nil {
		return err
	}
	if err := checkManifest(s.opts.Dir, s.log); err != nil {
		return err
	}
	n, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	s.nats = n
	log := &serverLog{log: s.log}
	n.SetLoggerV2(log, s.log.Enabled(context.Background(), slog.LevelDebug), false, false)
	if err := s.gate.bind(n); err != nil {
		return err
	}
	n.Start()
	if !n.JetStreamEnabled() {
		return diskError(s.opts.Dir, log.failure("the message store did not start"))
	}
	s.disk = watchDisk(s.opts.Dir, n, opts, &log.broken, s.log)
	return nil
}

// admitOwn lets the controller and the operator in.
func (s *Server) admitOwn() error {
	var err error
	if s.own, err = nkeys.CreateUser(); err != nil {
		return err
	}
	if s.gate.own, err = s.own.PublicKey(); err != nil {
		return err
	}
	seed, err := readOrMake(filepath.Join(s.opts.Dir, operatorFile), newSeed)
	if err != nil {
		return err
	}
	operator, err := publicKey(seed)
	if err != nil {
		return &portsnare.Error{
			Kind: portsnare.Invalid, Op: "read", Subject: operatorFile, Err: err,
			Hint: "delete it and start again: a new one is made; copies of it elsewhere are void then",
		}
	}
	s.gate.admit(operator, User{})
	return nil
}

// Connect makes the controller's own connection, which may do everything.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	return nats.Connect("", append([]nats.Option{
		nats.InProcessServer(s.nats), nats.Nkey(s.gate.own, s.own.Sign), nats.CustomInboxPrefix(ControllerInbox),
	}, opts...)...)
}

// Admit lets in whoever has the private half of key, a public nkey.
func (s *Server) Admit(key string, user User) { s.gate.admit(key, user) }

// Refuse lets nobody in with key from now on, and cuts the connections that were
// made with it.
func (s *Server) Refuse(key string) {
	s.gate.refuse(key)
	if s.front != nil {
		s.front.cut(key)
	}
}

// Listen opens the port. It is the last step: whoever comes finds all complete.
func (s *Server) Listen() error {
	front, err := listen(s)
	if err != nil {
		return err
	}
	s.front = front
	path := filepath.Join(s.opts.Dir, urlFile)
	if _, err := ReadSealed(path); errors.Is(err, portsnare.Invalid) {
		s.log.Warn(msgRebuilt, keyFile, urlFile, keyFrom, "the configuration")
	}
	if err := WriteSealed(path, []byte(s.where.local().url(front.port()))); err != nil {
		s.log.Error(msgUnsaved, keyFile, urlFile, keyError, err)
	}
	return nil
}

// Addr returns where the server listens, with the port that it got.
func (s *Server) Addr() string { return s.front.listener.Addr().String() }

// URLs returns where hosts find the server. It is empty where nothing is
// advertised and the server listens on every address.
func (s *Server) URLs() []string {
	urls := make([]string, len(s.where.advertise))
	for i, a := range s.where.advertise {
		urls[i] = a.url(s.front.port())
	}
	return urls
}

// CA returns the certificate by which hosts know the server, as DER.
func (s *Server) CA() []byte { return s.keys.ca.ca.Raw }

// Fault returns why something could not be written to the state directory; nil
// where all could. The server goes on meanwhile, with what it has in memory.
func (s *Server) Fault() error {
	if err := s.disk.fault(); err != nil {
		return err
	}
	if err := s.keys.problem(); err != nil {
		return diskError(s.opts.Dir, err)
	}
	return nil
}

// Halted returns why the store takes nothing now, or nil.
func (s *Server) Halted() error { return s.disk.fault() }

// Suspect has the store looked at because a write to it failed. It returns the
// reason where it is known by then, else err.
func (s *Server) Suspect(err error) error { return s.disk.suspect(err) }

// Close ends the server and returns when all that it started has ended.
func (s *Server) Close() error {
	var err error
	s.close.Do(func() {
		if s.front != nil {
			s.front.stop()
		}
		if s.disk != nil {
			s.disk.close()
		}
		if s.nats != nil {
			s.nats.Shutdown()
			s.nats.WaitForShutdown()
		}
		if s.front != nil {
			s.front.close()
		}
		if s.disk != nil {
			err = writeManifest(s.opts.Dir)
		}
		if s.lock != nil {
			err = errors.Join(err, s.lock.Close())
		}
	})
	return err
}

func newSeed() ([]byte, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	return pair.Seed()
}

func publicKey(seed []byte) (string, error) {
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return "", err
	}
	return pair.PublicKey()
}
