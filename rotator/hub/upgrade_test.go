package hub

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
)

// firstVersion unpacks a state directory that the first version left (commit
// 5df1bc9), with the host web-1, an order, a value under group.web, and the
// host's token in a file beside it.
func firstVersion(t *testing.T) (dir string, token portsnare.Token) {
	t.Helper()
	dir = t.TempDir()
	packed, err := os.ReadFile("testdata/state-v1.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	for files := tar.NewReader(plain); ; {
		head, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, head.Name)
		if head.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else if data, readErr := io.ReadAll(files); readErr != nil {
			err = readErr
		} else {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	if token, err = portsnare.ParseToken(string(text)); err != nil {
		t.Fatal(err)
	}
	return dir, token
}

// oldAgent connects as an agent of the first version does.
func oldAgent(t *testing.T, h *Hub, token portsnare.Token) (*nats.Conn, error) {
	t.Helper()
	ca, err := x509.ParseCertificate(token.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	user, err := nkeys.FromSeed([]byte(token.Seed))
	if err != nil {
		t.Fatal(err)
	}
	key, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return nats.Connect("tls://"+h.Addr(),
		nats.Name(token.Host),
		nats.Secure(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}),
		nats.TLSHandshakeFirst(),
		nats.Nkey(key, user.Sign),
		nats.CustomInboxPrefix(portsnare.InboxPrefix(token.Host)),
		nats.SetCustomDialer(&net.Dialer{}),
		nats.Timeout(10*time.Second),
		nats.PingInterval(20*time.Second),
		nats.DontRandomize(),
		nats.IgnoreDiscoveredServers(),
		nats.NoReconnect(),
	)
}

// TestUpgrade: the controller takes over the state of the first version, and its
// agents, until each of them has joined anew; then the port is as silent as that of
// a new installation.
func TestUpgrade(t *testing.T) {
	dir, token := firstVersion(t)
	var log bytes.Buffer
	h := open(t, dir, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	if !strings.Contains(log.String(), msgOldHosts) || !strings.Contains(log.String(), "enroll --renew") || len(h.Problems()) != 1 {
		t.Errorf("problems %v, log:\n%s\nwant said who has to join anew", h.Problems(), &log)
	}
	value, revision, err := h.Get(t.Context(), "group.web")
	if err != nil || string(value) != `{"generation":7}` {
		t.Errorf("state: %q, %v", value, err)
	}
	if keys := h.Keys(); !slices.Equal(keys, []string{"group.web"}) {
		t.Errorf("keys %q", keys)
	}
	if order, err := h.Order(t.Context(), "web-1"); err != nil || order.Generation != 7 || order.Group != testOrder("web-1", 7).Group {
		t.Errorf("order %+v, %v", order, err)
	}
	if _, err := h.Order(t.Context(), "nobody"); !errors.Is(err, portsnare.NotFound) {
		t.Errorf("order of a host that got none: %v", err)
	}
	if _, err := h.Put(t.Context(), "group.web", []byte(`{"generation":8}`), revision); err != nil {
		t.Error(err)
	}

	agent, err := oldAgent(t, h, token)
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	push, err := agent.SubscribeSync(portsnare.PushSubject("web-1"))
	if err != nil {
		t.Fatal(err)
	}
	msg, err := agent.Request(portsnare.OrderRequest("web-1"), nil, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	wantDigest(t, "stored", msg.Data, testOrder("web-1", 7))
	next := testOrder("web-1", 8)
	next.Serial = next.Digest()
	if err := h.Send(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if msg, err = push.NextMsg(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	digest := wantDigest(t, "pushed", msg.Data, next)
	report, err := json.Marshal(map[string]any{"host": "web-1", "at": time.Now(), "version": "0.1", "backend": "ipset", "order": digest, "armed": digest, "generation": 8, "listening": "22/tcp"})
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Publish(portsnare.ReportSubject("web-1"), report); err != nil {
		t.Fatal(err)
	}
	if err := h.Await(t.Context(), next); err != nil {
		t.Fatal(err)
	}

	fresh, err := h.Enroll(t.Context(), "web-1", true)
	if err != nil {
		t.Fatal(err)
	}
	if fresh.Use != portsnare.ToJoin || bytes.Equal(fresh.CA, token.CA) {
		t.Error("the new token is of the old kind")
	}
	if nc, err := oldAgent(t, h, token); err == nil {
		nc.Close()
		t.Error("the old token still works")
	} else if !portsnare.StrangeToTLS(err) {
		t.Errorf("all hosts are of the new kind, and the port says to an old one: %v", err)
	}
	if problems := h.Problems(); len(problems) != 0 {
		t.Errorf("problems: %v", problems)
	}
}

func wantDigest(t *testing.T, what string, text []byte, want portsnare.Order) string {
	t.Helper()
	var got portsnare.Order
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Digest() != want.Digest() {
		t.Errorf("%s order has the digest %s; want %s", what, got.Digest(), want.Digest())
	}
	return got.Digest()
}
