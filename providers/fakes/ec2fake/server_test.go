package ec2fake_test

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

// listen starts Serve and returns where, how to end it, and its result.
func listen(t *testing.T, f *ec2fake.Fake) (addr string, cancel context.CancelFunc, served <-chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	result := make(chan error, 1)
	go func() { result <- f.Serve(ctx, l) }()
	return l.Addr().String(), cancel, result
}

func TestServeEndsWithItsCalls(t *testing.T) {
	f := ec2fake.New(ec2fake.Options{})
	reached, ended := make(chan struct{}), make(chan struct{})
	f.Intercept(func(ctx context.Context, _ ec2fake.Stage, _ ec2fake.Call) http.Handler {
		close(reached)
		<-ctx.Done()
		close(ended)
		return ec2fake.Drop
	})
	addr, cancel, served := listen(t, f)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if reply, err := http.Get("http://" + addr); err == nil {
			reply.Body.Close()
			t.Errorf("the dropped call was answered: %s", reply.Status)
		}
	}()
	<-reached
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve = %v", err)
	}
	select {
	case <-ended:
	default:
		t.Error("Serve returned while a call was under way")
	}
	<-answered
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("the listener is still open")
	}
}

// A change that is slow to take effect keeps Serve, not its client, waiting.
func TestServeOutlastsAChange(t *testing.T) {
	f := ec2fake.New(ec2fake.Options{})
	group := f.CreateGroup("web")
	reached, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	f.OnChange(func(string, []ec2fake.Rule) error {
		close(reached)
		<-release
		close(ended)
		return nil
	})
	addr, cancel, served := listen(t, f)
	l := &lab{Fake: f, t: t, url: "http://" + addr, group: group}
	l.client = l.sdk()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if _, err := l.authorize(tcp(80, everyone)); err == nil {
			t.Error("a call that outlasted its server was answered")
		}
	}()
	<-reached
	cancel()
	<-gone // Serve has given up on the connection
	close(release)
	noError(t, <-served)
	select {
	case <-ended:
	default:
		t.Error("Serve returned while a change was under way")
	}
}

func TestServeFailsWithItsListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	noError(t, l.Close())
	if err := ec2fake.New(ec2fake.Options{}).Serve(context.Background(), l); err == nil {
		t.Error("Serve on a closed listener = nil")
	}
}
