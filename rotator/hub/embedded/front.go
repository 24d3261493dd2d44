package embedded

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
)

// Bounds of the port.
const (
	// handshakeTime bounds TLS, and then again the credential.
	handshakeTime = 5 * time.Second
	// maxStrangers bounds the connections that have shown no credential yet, so
	// that they cost no more than about 50 MiB; maxStrangersPerSource those of one
	// IPv4 address or IPv6 /64.
	maxStrangers          = 1024
	maxStrangersPerSource = 64
	// aliveFor is how long after its last byte a connection counts as alive. An
	// agent reports every 5 s, and answers a ping of the server each 5 s else.
	aliveFor = 12 * time.Second
)

// front is the port. It lets in who has an enrolled key, and hands the connection
// to the server.
type front struct {
	server   *Server
	log      *slog.Logger
	gate     *gate
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	ended    sync.WaitGroup

	mu        sync.Mutex
	conns     map[net.Conn]bool
	strangers map[netip.Prefix]int
	total     int                 // of strangers
	live      map[string]*session // of hosts, by public nkey
}

func listen(s *Server) (*front, error) {
	address := net.JoinHostPort(s.where.listen.host, strconv.Itoa(s.where.listen.port))
	if s.where.listen.host == everywhere {
		address = net.JoinHostPort("", strconv.Itoa(s.where.listen.port))
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &portsnare.Error{
			Kind: portsnare.Conflict, Err: err,
			Hint: "set another address to listen on, or stop the process that uses the port: ss -ltnp",
		}
	}
	f := &front{
		server: s, log: s.log, gate: s.gate, listener: listener,
		conns: make(map[net.Conn]bool), strangers: make(map[netip.Prefix]int), live: make(map[string]*session),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.ended.Go(f.accept)
	return f, nil
}

func (f *front) port() int { return f.listener.Addr().(*net.TCPAddr).Port }

func (f *front) accept() {
	for {
		conn, err := f.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no file descriptor is left, for one
			f.log.Warn(msgRefused, keyError, err)
			select {
			case <-time.After(time.Second):
			case <-f.ctx.Done():
			}
			continue
		}
		source := sourceOf(conn)
		if !f.arrive(conn, source) {
			conn.Close()
			continue
		}
		f.ended.Go(func() {
			defer f.leave(conn)
			known := sync.OnceFunc(func() { f.know(source) })
			defer known()
			if err := f.serve(conn, known); err != nil {
				f.log.Debug(msgRefused, keyPeer, conn.RemoteAddr().String(), keyError, err)
			}
		})
	}
}

func sourceOf(conn net.Conn) netip.Prefix {
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil { // a TCP connection has one
		return netip.Prefix{}
	}
	return portsnare.BanPrefix(at.Addr())
}

// arrive counts a stranger, if there is room for one more.
func (f *front) arrive(conn net.Conn, source netip.Prefix) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil || f.total >= maxStrangers || f.strangers[source] >= maxStrangersPerSource {
		return false
	}
	f.total++
	f.strangers[source]++
	f.conns[conn] = true
	return true
}

// know ends the counting as a stranger.
func (f *front) know(source netip.Prefix) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total--
	if f.strangers[source]--; f.strangers[source] == 0 {
		delete(f.strangers, source)
	}
}

func (f *front) leave(conn net.Conn) {
	conn.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, conn)
}

// stop lets nobody in any more.
func (f *front) stop() {
	f.cancel()
	f.listener.Close()
}

// close returns when all connections have ended. The server has ended before, and
// what it said last is still handed on.
func (f *front) close() {
	f.mu.Lock()
	for conn := range f.conns {
		conn.SetReadDeadline(time.Now()) //nolint:errcheck // it has ended by itself
	}
	f.mu.Unlock()
	f.ended.Wait()
}

// serve sees one connection from its handshake to its end. It calls known once
// the peer has shown who it is.
func (f *front) serve(raw net.Conn, known func()) error {
	raw.SetDeadline(time.Now().Add(handshakeTime))
	conn := tls.Server(raw, &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: f.configFor})
	if err := conn.HandshakeContext(f.ctx); err != nil {
		return err
	}
	raw.SetDeadline(time.Now().Add(handshakeTime))
	key := ""
	if state := conn.ConnectionState(); len(state.PeerCertificates) > 0 {
		key = keyOf(state.PeerCertificates[0])
	}
	s := &session{front: f, conn: conn, addr: raw.RemoteAddr().(*net.TCPAddr).IP.String(), certified: key}
	if err := s.greet(); err != nil {
		return err
	}
	defer s.end()
	if err := f.admit(s); err != nil {
		s.refuse("maximum connections exceeded")
		return err
	}
	defer f.dismiss(s)
	known()
	raw.SetDeadline(time.Time{})
	return s.run(f.ctx)
}

// configFor answers who asks for the secret name with that certificate, and others
// with none, or with the old one while there are hosts of the first version.
func (f *front) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
	var pair *tls.Certificate
	var err error
	switch {
	case hello.ServerName == f.server.keys.name:
		pair, err = f.server.keys.certificate()
		config.ClientAuth, config.VerifyPeerCertificate = tls.RequireAnyClientCert, f.verify
	case f.gate.anyOld():
		pair, err = f.server.keys.oldCertificate()
	default:
		err = errors.New("it does not know the name of this controller")
	}
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{*pair}
	return config, nil
}

// verify lets a certificate pass whose key is enrolled. TLS has the peer prove
// that it has the private half.
func (f *front) verify(raw [][]byte, _ [][]*x509.Certificate) error {
	leaf, err := x509.ParseCertificate(raw[0])
	if err != nil {
		return err
	}
	if user, ok := f.gate.get(keyOf(leaf)); !ok || user.Old {
		return errNotEnrolled
	}
	return nil
}

var errNotEnrolled = errors.New("its key is not enrolled")

// keyOf returns the public nkey of a certificate, or "" where it has none.
func keyOf(leaf *x509.Certificate) string {
	public, ok := leaf.PublicKey.(ed25519.PublicKey)
	if !ok {
		return ""
	}
	key, err := nkeys.Encode(nkeys.PrefixByteUser, public)
	if err != nil {
		return ""
	}
	return string(key)
}

// admit makes s the connection of its host. One that is there and alive is an
// error; one that has fallen silent is cut.
func (f *front) admit(s *session) error {
	if s.user.Host == "" { // the operator may come several times
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if old := f.live[s.key]; old != nil {
		if !s.user.Join && time.Since(old.heard()) < aliveFor {
			f.double(s)
			return errors.New("the host is connected already")
		}
		old.conn.NetConn().Close()
	}
	f.live[s.key] = s
	if told := f.server.opts.OnAdmit; told != nil {
		told(s.user.Host, s.addr)
	}
	return nil
}

func (f *front) double(s *session) {
	f.log.Debug(msgDouble, keyHost, s.user.Host, keyPeer, s.addr)
	if told := f.server.opts.OnDouble; told != nil {
		told(s.user.Host, s.addr)
	}
}

func (f *front) dismiss(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.live[s.key] == s {
		delete(f.live, s.key)
	}
}

// cut ends the connections made with key.
func (f *front) cut(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.live[key]; s != nil {
		s.conn.NetConn().Close()
	}
}
