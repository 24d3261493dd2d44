package hub

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/hub/embedded"
)

// intruder is a host that does as it likes on a connection of its own.
type intruder struct {
	*nats.Conn
	refusals chan error
}

func intrude(t *testing.T, token portsnare.Token, change ...nats.Option) (*intruder, error) {
	t.Helper()
	config, err := embedded.ClientConfig(token.CA, []byte(token.Seed))
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.FromSeed([]byte(token.Seed))
	if err != nil {
		t.Fatal(err)
	}
	key, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	in := &intruder{refusals: make(chan error, 100)}
	in.Conn, err = nats.Connect(token.URLs[0], append([]nats.Option{
		nats.Secure(config), nats.TLSHandshakeFirst(), nats.Nkey(key, user.Sign), nats.NoReconnect(),
		nats.CustomInboxPrefix(portsnare.InboxPrefix(token.Host)),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { in.refusals <- err }),
	}, change...)...)
	if err == nil {
		t.Cleanup(in.Close)
	}
	return in, err
}

func (in *intruder) refused(t *testing.T, what string) {
	t.Helper()
	select {
	case err := <-in.refusals:
		if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(what)) {
			t.Errorf("refused with %v; want a violation about %s", err, what)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("%s is not refused", what)
	}
}

// member enrols a host, has it join, and returns its credential.
func member(t *testing.T, h *Hub, host string) portsnare.Token {
	t.Helper()
	token, err := h.Enroll(t.Context(), host, false)
	if err != nil {
		t.Fatal(err)
	}
	seed, key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(portsnare.JoinKey{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.join(host, text, time.Now()); err != nil {
		t.Fatal(err)
	}
	token.Seed, token.Use = seed, portsnare.Joined
	return token
}

func twoHosts(t *testing.T) (*Hub, *intruder) {
	t.Helper()
	h := open(t, t.TempDir())
	for _, host := range []string{"web-1", "web-2"} {
		if err := h.Send(t.Context(), testOrder(host, 1)); err != nil {
			t.Fatal(err)
		}
	}
	member(t, h, "web-2")
	in, err := intrude(t, member(t, h, "web-1"))
	if err != nil {
		t.Fatal(err)
	}
	return h, in
}

func TestHostMayReadItsOwnOrder(t *testing.T) {
	_, in := twoHosts(t)
	msg, err := in.Request(portsnare.OrderRequest("web-1"), nil, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var got portsnare.Order
	if err := json.Unmarshal(msg.Data, &got); err != nil || got.Digest() != testOrder("web-1", 1).Digest() {
		t.Errorf("own order: %+v, %v", got, err)
	}
}

func TestHostMayNot(t *testing.T) {
	_, in := twoHosts(t)
	for _, subject := range []string{
		portsnare.OrderRequest("web-2"), // read another's order
		portsnare.OrderSubject("web-1"), // write its own
		portsnare.PushSubject("web-2"),  // push another an order
		portsnare.ReportSubject("web-2"),
		portsnare.HitsSubject("web-2"),
		portsnare.BansSubject("web-2"),
		portsnare.SubjectControl + "rotate",
		"$JS.API.STREAM.CREATE.MINE",
		"$JS.API.STREAM.MSG.GET." + portsnare.OrderStream,
		"$JS.API.STREAM.NAMES",
		"$KV." + stateBucket + ".group.web",
		"$SYS.REQ.SERVER.PING",
	} {
		if err := in.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		in.refused(t, subject)
	}
	for _, subject := range []string{
		portsnare.PushSubject("web-2"), portsnare.PushSubject("*"), portsnare.ReportSubject("web-2"),
		portsnare.InboxPrefix("web-2") + ".>", "_INBOX.>", embedded.OperatorInbox + ".>", embedded.ControllerInbox + ".>", ">",
	} {
		if _, err := in.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		in.refused(t, subject)
	}
}

// A reply goes wherever the asker wants. So a host may have the server itself
// say something where the host may not, and nothing must come of it.
func TestHostCannotSpeakThroughTheServer(t *testing.T) {
	h, in := twoHosts(t)
	for _, reply := range []string{
		portsnare.OrderSubject("web-2"),
		portsnare.ReportSubject("web-2"),
		portsnare.SubjectControl + "rotate",
		"$JS.API.STREAM.PURGE." + portsnare.OrderStream,
		"$JS.API.STREAM.DELETE." + portsnare.OrderStream,
		"$KV." + stateBucket + ".group.web",
	} {
		for _, body := range []string{"", "no JSON"} { // answered with the order, or with an empty body
			if err := in.PublishRequest(portsnare.OrderRequest("web-1"), reply, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		for _, subject := range []string{portsnare.ReportSubject("web-1"), portsnare.HitsSubject("web-1")} {
			if err := in.PublishRequest(subject, reply, []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := in.Request(portsnare.OrderRequest("web-1"), nil, 5*time.Second); err != nil {
		t.Errorf("the orders are gone: %v", err) // the answer comes after all those above
	}
	last, err := h.stores.orders.GetLastMsgForSubject(t.Context(), portsnare.OrderSubject("web-2"))
	if err != nil {
		t.Fatal(err)
	}
	var order portsnare.Order
	if err := json.Unmarshal(last.Data, &order); err != nil || order.Host != "web-2" {
		t.Errorf("stored order of web-2 is now that of %q (%v)", order.Host, err)
	}
	if report, ok := h.Report("web-2"); ok {
		t.Errorf("web-2 is taken to have reported %+v", report)
	}
	if _, _, err := h.Get(t.Context(), "group.web"); !errors.Is(err, portsnare.NotFound) {
		t.Errorf("the controller's state was written: %v", err)
	}
}

func TestHostSpeaksForItselfOnly(t *testing.T) {
	h, in := twoHosts(t)
	say := func(report portsnare.Report) {
		text, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Publish(portsnare.ReportSubject("web-1"), text); err != nil {
			t.Fatal(err)
		}
	}
	say(portsnare.Report{Host: "web-2", Armed: "forged"})
	if err := in.Publish(portsnare.ReportSubject("web-1"), []byte("\x00{not JSON")); err != nil {
		t.Fatal(err)
	}
	say(portsnare.Report{Host: "web-1", Armed: "true", Problem: "red\x1b[31m\nline"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := h.Await(ctx, portsnare.Order{Host: "web-1", Serial: "true"}); err != nil {
		t.Fatal(err)
	}
	if report, ok := h.Report("web-2"); ok {
		t.Errorf("web-2 is taken to have reported %+v", report)
	}
	if report, _ := h.Report("web-1"); report.Problem != "red [31m line" {
		t.Errorf("problem %q; want it without control characters", report.Problem)
	}
}

// A report is kept, but what it says may be true no more: it ends no Await.
func TestReportFromBeforeARestart(t *testing.T) {
	h, in := twoHosts(t)
	if err := in.Publish(portsnare.ReportSubject("web-1"), []byte(`{"host":"web-1","armed":"digest"}`)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; { // it is written behind
		_, err := h.stores.reports.GetLastMsgForSubject(t.Context(), keptReport+"web-1")
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	h.Close()

	h = open(t, h.opts.Dir)
	if report, ok := h.Report("web-1"); !ok || report.Armed != "digest" || report.At.IsZero() {
		t.Errorf("report from before the restart: %+v, %v", report, ok)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Await(ctx, portsnare.Order{Host: "web-1", Serial: "digest"}); !errors.Is(err, portsnare.Transient) {
		t.Errorf("Await: %v; want kind %q", err, portsnare.Transient)
	}
}

func TestOperatorMayOnlyAsk(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	c, err := Dial(t.Context(), ClientOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	js, err := jetstream.New(c.nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // no answer ever comes
	defer cancel()
	if _, err := js.Stream(ctx, portsnare.OrderStream); err == nil {
		t.Error("the operator may read the stream of orders")
	}
}

func TestOnlyTLS13AndKnownUsers(t *testing.T) {
	h := open(t, t.TempDir())
	token := member(t, h, "web-1")
	name := portsnare.ServerName(token.CA)
	if _, err := intrude(t, token, nats.Secure(&tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true, ServerName: name})); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("a connection over TLS 1.2: %v; want it refused for its version", err)
	}
	seed, _, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	unknown := token
	unknown.Seed = seed
	if _, err := intrude(t, unknown); !portsnare.RefusedByTLS(err) {
		t.Errorf("an unknown credential: %v; want a TLS alert", err)
	}
	stranger, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		t.Fatal(err)
	}
	known, err := nkeys.FromSeed([]byte(token.Seed))
	if err != nil {
		t.Fatal(err)
	}
	key, err := known.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := intrude(t, token, nats.Nkey(key, stranger.Sign)); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("another's key without its private half: %v; want %v", err, nats.ErrAuthorization)
	}
	other := member(t, h, "web-2")
	second, err := nkeys.FromSeed([]byte(other.Seed))
	if err != nil {
		t.Fatal(err)
	}
	key, err = second.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := intrude(t, token, nats.Nkey(key, second.Sign)); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("the certificate of one host and the key of another: %v; want %v", err, nats.ErrAuthorization)
	}
	in, err := intrude(t, token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Request(portsnare.OrderRequest("web-1"), nil, 5*time.Second); err != nil && !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a known credential: %v", err)
	}
}
