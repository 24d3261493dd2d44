package hub

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/hub/embedded"
)

// stateWith returns a state directory without a running hub, changed as asked.
func stateWith(t *testing.T, change func(dir string) error) string {
	t.Helper()
	dir := t.TempDir()
	open(t, dir).Close()
	if err := change(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func replace(name string, from string) func(string) error {
	return func(dir string) error {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), data, 0o600)
	}
}

func TestDialRefused(t *testing.T) {
	running := t.TempDir()
	open(t, running)
	silent := listenAndSayNothing(t)
	other := stateWith(t, replace("hub.url", running))
	stranger := stateWith(t, func(dir string) error {
		return errors.Join(replace("hub.url", running)(dir), replace(embedded.AuthorityFile, running)(dir))
	})
	for _, test := range []struct {
		name string
		opts ClientOptions
		kind portsnare.Kind
	}{
		{"no state directory", ClientOptions{Dir: filepath.Join(t.TempDir(), "none")}, portsnare.Unavailable},
		{"nothing runs", ClientOptions{Dir: stateWith(t, func(string) error { return nil })}, portsnare.Unavailable},
		{"something else runs there", ClientOptions{Dir: running, URL: "tls://" + silent}, portsnare.Unavailable},
		{"another controller", ClientOptions{Dir: other}, portsnare.Denied},
		{"another credential", ClientOptions{Dir: stranger}, portsnare.Denied},
		{"no certificate", ClientOptions{Dir: stateWith(t, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, embedded.AuthorityFile), nil, 0o600)
		})}, portsnare.Invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			c, err := Dial(ctx, test.opts)
			if err == nil {
				c.Close()
				t.Fatal("it connected")
			}
			if portsnare.KindOf(err) != test.kind {
				t.Errorf("%v: kind %q; want %q", err, portsnare.KindOf(err), test.kind)
			}
			if test.kind != portsnare.Invalid && portsnare.HintOf(err) == "" {
				t.Errorf("%v: no hint", err)
			}
		})
	}
}

// listenAndSayNothing is a port that accepts and never answers.
func listenAndSayNothing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestDialEndsWithContext(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	begin := time.Now()
	if c, err := Dial(ctx, ClientOptions{Dir: dir, URL: "tls://" + listenAndSayNothing(t)}); err == nil {
		c.Close()
		t.Fatal("it connected")
	}
	if took := time.Since(begin); took >= dialTime {
		t.Errorf("it took %s", took)
	}
}

func TestRequestEndsWithHub(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	asked := make(chan struct{})
	if err := Serve(h, "wait", func(ctx context.Context, _ struct{}) (any, error) {
		close(asked)
		<-ctx.Done()
		return nil, &portsnare.Error{Kind: portsnare.Transient, Err: errors.New("the controller ends")}
	}); err != nil {
		t.Fatal(err)
	}
	c, err := Dial(t.Context(), ClientOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	failed := make(chan error)
	go func() { failed <- c.Request(context.Background(), "wait", nil, nil) }()
	<-asked
	h.Close()
	if err := <-failed; err == nil || err.Error() != "the controller ends" {
		t.Errorf("request: %v; want the handler's last word", err)
	}
	if err := c.Request(context.Background(), "wait", nil, nil); !errors.Is(err, portsnare.Unavailable) {
		t.Errorf("request to a hub that has ended: %v; want kind %q", err, portsnare.Unavailable)
	}
}

func TestRequestEndsWithContext(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	if err := Serve(h, "wait", func(ctx context.Context, _ struct{}) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}); err != nil {
		t.Fatal(err)
	}
	c, err := Dial(t.Context(), ClientOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Request(ctx, "wait", nil, nil); !errors.Is(err, portsnare.Transient) {
		t.Errorf("request: %v; want kind %q", err, portsnare.Transient)
	}
}

func TestBusy(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	if err := Serve(h, "echo", func(_ context.Context, request string) (string, error) { return request, nil }); err != nil {
		t.Fatal(err)
	}
	c, err := Dial(t.Context(), ClientOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range maxTasks {
		h.slots <- struct{}{}
	}
	if err := c.Request(t.Context(), "echo", nil, nil); !errors.Is(err, portsnare.RateLimited) {
		t.Errorf("request to a busy hub: %v; want kind %q", err, portsnare.RateLimited)
	}
	<-h.slots
	if err := c.Request(t.Context(), "echo", nil, nil); err != nil {
		t.Errorf("request with one slot free: %v", err)
	}
}
