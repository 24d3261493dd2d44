package embedded

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
)

// start starts a server on a port of its own that ends with the test.
func start(t *testing.T, change ...func(*Options)) *Server {
	t.Helper()
	opts := Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&opts)
	}
	s, err := Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	return s
}

// enrolled admits a host and returns its seed.
func enrolled(t *testing.T, s *Server, user User) []byte {
	t.Helper()
	seed, err := newSeed()
	if err != nil {
		t.Fatal(err)
	}
	key, err := publicKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	s.Admit(key, user)
	return seed
}

func connect(s *Server, seed []byte, change ...nats.Option) (*nats.Conn, error) {
	config, err := ClientConfig(s.CA(), seed)
	if err != nil {
		return nil, err
	}
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return nil, err
	}
	key, err := pair.PublicKey()
	if err != nil {
		return nil, err
	}
	return nats.Connect("tls://"+s.Addr(), append([]nats.Option{
		nats.Secure(config), nats.TLSHandshakeFirst(), nats.Nkey(key, pair.Sign), nats.NoReconnect(),
	}, change...)...)
}

// tapped notes every byte that comes from the server, below TLS too.
type tapped struct {
	net.Conn
	seen bytes.Buffer
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.seen.Write(p[:n])
	return n, err
}

// TestStrangerLearnsNothing: whoever has no credential gets an alert, and sees no
// word of ours, neither of the greeting nor in a certificate.
func TestStrangerLearnsNothing(t *testing.T) {
	s := start(t, func(o *Options) { o.Advertise = []string{"controller.example.org", "192.0.2.1"} })
	enrolled(t, s, User{Host: "web-1"})
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := portsnare.SelfCertificate(private)
	if err != nil {
		t.Fatal(err)
	}
	secret := portsnare.ServerName(s.CA())
	stranger := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
	for name, config := range map[string]*tls.Config{
		"no name":                          {},
		"a name":                           {ServerName: "controller.example.org"},
		"the secret name":                  {ServerName: secret},
		"a certificate":                    {Certificates: []tls.Certificate{stranger}},
		"the secret name, a certificate":   {ServerName: secret, Certificates: []tls.Certificate{stranger}},
		"TLS 1.2 with the advertised name": {ServerName: "controller.example.org", MaxVersion: tls.VersionTLS12},
	} {
		config.InsecureSkipVerify = true
		var shown []byte
		config.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
			shown = bytes.Join(raw, nil)
			return nil
		}
		raw, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		tap := &tapped{Conn: raw}
		conn := tls.Client(tap, config)
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		said, err := io.ReadAll(conn)
		conn.Close()
		var alert *net.OpError
		if len(said) > 0 || !errors.As(err, &alert) || alert.Op != "remote error" {
			t.Errorf("%s: %q, %v; want an alert", name, said, err)
		}
		for _, word := range []string{"portsnare", "nats", "info", "controller", "example"} {
			if all := append(tap.seen.Bytes(), shown...); bytes.Contains(bytes.ToLower(all), []byte(word)) {
				t.Errorf("%s: %q is seen", name, word)
			}
		}
		if len(shown) > 0 && config.ServerName != secret {
			t.Errorf("%s: a certificate is shown", name)
		}
	}
}

// One who does not speak TLS gets no greeting either, and is not waited for.
func TestStrangerWithoutTLS(t *testing.T) {
	s := start(t)
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("CONNECT {}\r\n")); err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	said, err := io.ReadAll(conn)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		t.Error("the connection is kept open")
	}
	if bytes.Contains(said, []byte("INFO")) || bytes.Contains(said, []byte("HTTP")) {
		t.Errorf("it says %q", said)
	}
}

func TestManyStrangers(t *testing.T) {
	s := start(t)
	seed := enrolled(t, s, User{Host: "web-1"})
	for range maxStrangersPerSource + 10 {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	// The strangers of one source do not keep other sources out.
	local := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	nc, err := connect(s, seed, nats.SetCustomDialer(local))
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	s.front.mu.Lock()
	defer s.front.mu.Unlock()
	if s.front.total > maxStrangersPerSource {
		t.Errorf("%d strangers are kept waiting", s.front.total)
	}
}

// TestSecondMachine: one credential on two machines. The second is refused while
// the first is alive, and reported; where the first has fallen silent it gets in.
func TestSecondMachine(t *testing.T) {
	doubled := make(chan string, 10)
	s := start(t, func(o *Options) { o.OnDouble = func(host, addr string) { doubled <- host + " " + addr } })
	seed := enrolled(t, s, User{Host: "web-1"})
	first, err := connect(s, seed)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	if nc, err := connect(s, seed, nats.SetCustomDialer(second)); err == nil || !strings.Contains(strings.ToLower(err.Error()), "maximum connections exceeded") {
		if err == nil {
			nc.Close()
		}
		t.Fatalf("second connection: %v; want it refused", err)
	}
	if got := <-doubled; got != "web-1 127.0.0.9" {
		t.Errorf("reported as %q", got)
	}
	if err := first.Flush(); err != nil {
		t.Errorf("the first connection was cut: %v", err)
	}

	s.front.mu.Lock()
	for _, live := range s.front.live {
		live.last.Store(time.Now().Add(-aliveFor).UnixNano())
	}
	s.front.mu.Unlock()
	nc, err := connect(s, seed, nats.SetCustomDialer(second))
	if err != nil {
		t.Fatalf("the first has fallen silent, and the second is refused: %v", err)
	}
	nc.Close()
	select {
	case got := <-doubled:
		t.Errorf("%s is reported", got)
	default:
	}
}

// Where a connection has ended, the next comes in at once.
func TestReconnect(t *testing.T) {
	s := start(t)
	seed := enrolled(t, s, User{Host: "web-1"})
	for range 20 {
		nc, err := connect(s, seed)
		for end := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(end); { // the end of the last is on its way
			nc, err = connect(s, seed)
		}
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
	}
}

func TestRefusedKeyIsCut(t *testing.T) {
	s := start(t)
	seed := enrolled(t, s, User{Host: "web-1"})
	closed := make(chan struct{})
	if _, err := connect(s, seed, nats.ClosedHandler(func(*nats.Conn) { close(closed) })); err != nil {
		t.Fatal(err)
	}
	key, err := publicKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	s.Refuse(key)
	<-closed
	if _, err := connect(s, seed); !portsnare.RefusedByTLS(err) {
		t.Errorf("refused key: %v; want a TLS alert", err)
	}
}

func TestKeyWithAnEnd(t *testing.T) {
	s := start(t)
	now := time.Now()
	s.gate.now = func() time.Time { return now }
	seed := enrolled(t, s, User{Host: "web-1", Join: true, End: now.Add(time.Hour)})
	nc, err := connect(s, seed)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	now = now.Add(time.Hour)
	if _, err := connect(s, seed); !portsnare.RefusedByTLS(err) {
		t.Errorf("after its end: %v; want a TLS alert", err)
	}
}
