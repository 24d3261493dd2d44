package hub

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/hub/embedded"
)

// open starts a hub on a port of its own that ends with the test.
func open(t *testing.T, dir string, change ...func(*Options)) *Hub {
	t.Helper()
	return openFor(t, dir, change...)
}

func openFor(t testing.TB, dir string, change ...func(*Options)) *Hub {
	t.Helper()
	opts := Options{Dir: dir, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&opts)
	}
	h, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// testOrder is a small valid order.
func testOrder(host string, generation portsnare.Generation) portsnare.Order {
	return portsnare.Order{
		Host: host, Group: "web", Generation: generation,
		Traps:     portsnare.Traps{Secret: ports("4000-4007/tcp,9100/tcp"), Bait: ports("23/tcp")},
		Protected: ports("22/tcp"),
		Policy:    portsnare.DefaultPolicy(),
	}
}

func ports(s string) portsnare.PortSet {
	set, err := portsnare.ParsePortSet(s)
	if err != nil {
		panic(err)
	}
	return set
}

func TestStateSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	want := []byte("generation 7")
	revision, err := h.Put(t.Context(), "group.web", []byte("generation 6"), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, stale := range []uint64{0, revision + 7} {
		if _, err := h.Put(t.Context(), "group.web", nil, stale); !errors.Is(err, portsnare.Conflict) {
			t.Errorf("Put over revision %d, where %d stands: %v; want kind %q", stale, revision, err, portsnare.Conflict)
		}
	}
	if _, err := h.Put(t.Context(), "group.web", want, revision); err != nil {
		t.Fatal(err)
	}
	h.Close()

	h = open(t, dir)
	got, _, err := h.Get(t.Context(), "group.web")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("Get = %q, %v; want %q", got, err, want)
	}
	if _, _, err := h.Get(t.Context(), "group.db"); !errors.Is(err, portsnare.NotFound) {
		t.Errorf("Get of an unknown key = %v; want kind %q", err, portsnare.NotFound)
	}
}

func TestSendRefuses(t *testing.T) {
	h := open(t, t.TempDir())
	contradiction, huge := testOrder("web-1", 1), testOrder("web-1", 1)
	contradiction.Protected = contradiction.Traps.Secret
	huge.Allow = slices.Repeat([]netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}, embedded.MaxPayload/10)
	for _, test := range []struct {
		name  string
		order portsnare.Order
		kind  portsnare.Kind
	}{
		{"a contradiction", contradiction, portsnare.Invalid},
		{"a huge one", huge, portsnare.LimitExceeded},
	} {
		if err := h.Send(t.Context(), test.order); !errors.Is(err, test.kind) {
			t.Errorf("%s: %v; want kind %q", test.name, err, test.kind)
		}
	}
	if _, err := h.Put(t.Context(), "no such key", nil, 0); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("Put under a strange key: %v; want kind %q", err, portsnare.Invalid)
	}
}

// What an expelled host had said is forgotten, and what still comes not heard.
func TestExpelledHostIsNotHeard(t *testing.T) {
	h := open(t, t.TempDir())
	if _, err := h.Enroll(t.Context(), "web-1", false); err != nil {
		t.Fatal(err)
	}
	report := &nats.Msg{Subject: portsnare.ReportSubject("web-1"), Data: []byte(`{"host":"web-1"}`)}
	h.hearReport(report)
	if _, ok := h.Report("web-1"); !ok {
		t.Fatal("an enrolled host is not heard")
	}
	if err := h.Expel(t.Context(), "web-1"); err != nil {
		t.Fatal(err)
	}
	h.hearReport(report)
	if _, ok := h.Report("web-1"); ok {
		t.Error("an expelled host is heard")
	}
	if err := h.Expel(t.Context(), "web-1"); !errors.Is(err, portsnare.NotFound) {
		t.Errorf("expelled twice: %v; want kind %q", err, portsnare.NotFound)
	}
}

func TestEnrollRefuses(t *testing.T) {
	h := open(t, t.TempDir())
	if _, err := h.Enroll(t.Context(), "web 1", false); !errors.Is(err, portsnare.Invalid) {
		t.Errorf("a strange name: %v; want kind %q", err, portsnare.Invalid)
	}
	nowhere := open(t, t.TempDir(), func(o *Options) { o.Listen = "0.0.0.0:0" })
	if _, err := nowhere.Enroll(t.Context(), "web-1", false); !errors.Is(err, portsnare.Invalid) || portsnare.HintOf(err) == "" {
		t.Errorf("a hub that does not know its address: %v; want kind %q and a hint", err, portsnare.Invalid)
	}
}

func TestControl(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	refusal := &portsnare.Error{Kind: portsnare.Conflict, Op: "rotate", Subject: "group web",
		Err: errors.New("a rotation is on its way"), Hint: "wait for it: portsnare status"}
	if err := errors.Join(
		Serve(h, "echo", func(_ context.Context, request []string) ([]string, error) { return request, nil }),
		Serve(h, "rotate", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, refusal }),
	); err != nil {
		t.Fatal(err)
	}
	c, err := Dial(t.Context(), ClientOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	var got []string
	if err := c.Request(t.Context(), "echo", []string{"web"}, &got); err != nil || !slices.Equal(got, []string{"web"}) {
		t.Errorf("echo = %s, %v", got, err)
	}
	err = c.Request(t.Context(), "rotate", nil, nil)
	if !errors.Is(err, portsnare.Conflict) || err.Error() != refusal.Error() || portsnare.HintOf(err) != refusal.Hint {
		t.Errorf("rotate = %v (hint %q); want the handler's own error", err, portsnare.HintOf(err))
	}
	if err := c.Request(t.Context(), "unheard-of", nil, nil); !errors.Is(err, portsnare.NotFound) {
		t.Errorf("unknown verb = %v; want kind %q", err, portsnare.NotFound)
	}
}

func TestNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	h := open(t, t.TempDir())
	if err := h.Send(t.Context(), testOrder("web-1", 1)); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	for range 500 { // the runtime retires a goroutine a little after its end
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
}

func TestFilesAreSecret(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	open(t, dir).Close()
	got := make(map[string]os.FileMode)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if !e.IsDir() {
			got[e.Name()] = info.Mode()
		}
	}
	want := make(map[string]os.FileMode)
	for _, name := range []string{"authority.crt", "authority.pem", "server.pem", "operator.nk", "hub.url", "lock", "jetstream.sum", hostsCopy, stateCopy} {
		want[name] = 0o600
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("state directory is %s; want drwx------", info.Mode())
	}
}

func TestOpenRefuses(t *testing.T) {
	taken := open(t, t.TempDir())
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, "authority.pem"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		opts Options
		kind portsnare.Kind
		text string
	}{
		{"a directory in use", Options{Dir: taken.opts.Dir}, portsnare.Conflict, "another controller"},
		{"a port in use", Options{Dir: t.TempDir(), Listen: taken.Addr()}, portsnare.Conflict, "address already in use"},
		{"a damaged authority", Options{Dir: damaged}, portsnare.Invalid, "authority.pem: the file is damaged"},
		{"a strange address", Options{Dir: t.TempDir(), Listen: "a b:1"}, portsnare.Invalid, `"a b:1"`},
		{"a strange advertised address", Options{Dir: t.TempDir(), Advertise: []string{"x:y"}}, portsnare.Invalid, `"x:y"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.opts.Listen == "" {
				test.opts.Listen = "127.0.0.1:0"
			}
			test.opts.Logger = slog.New(slog.DiscardHandler)
			h, err := Open(t.Context(), test.opts)
			if err == nil {
				h.Close()
				t.Fatal("it started")
			}
			if portsnare.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %q of kind %q; want kind %q and %q in it", err, portsnare.KindOf(err), test.kind, test.text)
			}
		})
	}
}

func TestAwaitSaysWhatIsKnown(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	h := &Hub{}
	h.guests.list = map[string]guest{
		"web-1": {Key: "U1", Invitation: "U0"},
		"new":   {Invitation: "U2", Until: now.Add(time.Hour)},
		"late":  {Invitation: "U3", Until: now.Add(-time.Hour)},
	}
	for _, test := range []struct {
		host string
		p    presence
		want string
	}{
		{"web-2", presence{}, "wait for web-2: it is not enrolled"},
		{"new", presence{}, "wait for new: it has not joined"},
		{"late", presence{}, "wait for late: its token has expired"},
		{"web-1", presence{}, "wait for web-1: it has never reported"},
		{"web-1", presence{known: true, live: true, report: portsnare.Report{At: now.Add(-15 * time.Second), Problem: "x"}},
			"wait for web-1: no report since 2026-11-21T11:59:45Z"},
		{"web-1", presence{known: true, report: portsnare.Report{At: now.Add(-time.Second)}},
			"wait for web-1: no report since 2026-11-21T11:59:59Z"},
		{"web-1", presence{known: true, live: true, report: portsnare.Report{At: now, Problem: "ipset is missing"}},
			"wait for web-1: ipset is missing"},
		{"web-1", presence{known: true, live: true, second: "192.0.2.7", report: portsnare.Report{At: now}},
			"wait for web-1: a second machine at 192.0.2.7 uses this host's credential"},
		{"web-1", presence{known: true, live: true, report: portsnare.Report{At: now, Generation: 6}},
			"wait for web-1: it still has generation 6"},
	} {
		err := h.missing(test.host, test.p, now)
		if err.Error() != test.want || !errors.Is(err, portsnare.Transient) {
			t.Errorf("got %q of kind %q; want %q", err, portsnare.KindOf(err), test.want)
		}
	}
}

// A host that comes back before its old connection has died is in doubt until it
// is let in; another machine that was refused stays suspicious.
func TestDoubtEnds(t *testing.T) {
	var d doubles
	now := time.Now()
	d.note("web-1", "192.0.2.7")
	d.clear("web-1", "192.0.2.8")
	if got := d.of("web-1", now); got != "192.0.2.7" {
		t.Errorf("the second machine is %q; want 192.0.2.7", got)
	}
	if got := d.of("web-1", now.Add(2*doubtTime)); got != "" {
		t.Errorf("long after, the second machine is %q", got)
	}
	d.clear("web-1", "192.0.2.7")
	if got := d.of("web-1", now); got != "" {
		t.Errorf("it was let in, and the second machine is %q", got)
	}
}

// A token that was not used in time is void, and says so to the operator.
func TestTokenExpires(t *testing.T) {
	h := open(t, t.TempDir())
	if _, err := h.EnrollFor(t.Context(), "web-1", false, time.Minute); err != nil {
		t.Fatal(err)
	}
	_, key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	request := []byte(`{"key":"` + key + `"}`)
	if err := h.join("web-1", request, time.Now().Add(time.Minute+time.Second)); !errors.Is(err, portsnare.Conflict) {
		t.Errorf("joining too late: %v; want kind %q", err, portsnare.Conflict)
	}
	one, _ := h.guests.get("web-1")
	if err := errEnrolled("web-1", one, time.Now().Add(time.Hour)); !strings.Contains(err.Error(), "not used before") {
		t.Errorf("enrolling again: %v", err)
	}
	for _, valid := range []time.Duration{0, -time.Hour, 10 * 365 * 24 * time.Hour} {
		if _, err := h.EnrollFor(t.Context(), "web-2", false, valid); !errors.Is(err, portsnare.Invalid) {
			t.Errorf("a token for %s: %v; want kind %q", valid, err, portsnare.Invalid)
		}
	}
}
