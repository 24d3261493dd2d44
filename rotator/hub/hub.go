package hub

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/hub/embedded"
)

// Options of a [Hub].
type Options struct {
	Dir       string   // state directory, created with mode 0700; one hub at a time
	Listen    string   // such as "0.0.0.0:4222", which is the default; port 0 for any
	Advertise []string // where hosts find the hub: names or addresses, a port if it differs

	// OnHit, OnBan and OnLost hear what hosts report, one call at a time each, and
	// must not block. Each ban is reported once. Lost is how many hits the host
	// could not report. Any of them may be nil.
	OnHit  func(portsnare.Hit)
	OnBan  func(portsnare.Ban)
	OnLost func(host string, hits int)

	Logger *slog.Logger
}

// Port is what stands between the hub and the hosts, such as an
// [embedded.Server]: it decides who may connect.
type Port interface {
	// Admit lets in whoever has the private half of key, Refuse nobody any more.
	Admit(key string, user embedded.User)
	Refuse(key string)
	// URLs returns where hosts find the port, CA the certificate to know it by.
	URLs() []string
	CA() []byte
	// Fault returns what cannot be written to disk, and Halted why the store takes
	// nothing now; nil where all is well. Suspect has that looked into after err,
	// and returns the better reason of the two.
	Fault() error
	Halted() error
	Suspect(err error) error
}

// Hub is the controller's side of the link. Its methods may be called by
// several goroutines at once.
type Hub struct {
	opts Options
	log  *slog.Logger

	server *embedded.Server // nil where the hub was made on a connection
	port   Port
	nc     *nats.Conn
	stores *stores

	roster *roster
	bans   *registry
	guests guests

	ctx    context.Context // of requests being served; ends with the hub
	cancel context.CancelFunc
	ended  sync.WaitGroup // subscriptions that have yet to end
	tasks  sync.WaitGroup // requests being served
	slots  chan struct{}  // bounds tasks

	mu   sync.Mutex
	subs []*nats.Subscription
}

// Open starts the hub with an embedded server on what an earlier one left in the
// state directory, or on a new one. When it returns, hosts can connect. The caller
// must Close it.
func Open(ctx context.Context, opts Options) (*Hub, error) {
	h, err := openHub(ctx, opts)
	if err != nil {
		return nil, &portsnare.Error{Kind: portsnare.KindOf(err), Op: "start the hub in", Subject: opts.Dir, Err: err}
	}
	return h, nil
}

func openHub(ctx context.Context, opts Options) (*Hub, error) {
	var doubles doubles
	server, err := embedded.Start(embedded.Options{
		Dir: opts.Dir, Listen: opts.Listen, Advertise: opts.Advertise, Logger: opts.Logger,
		OnDouble: doubles.note, OnAdmit: doubles.clear,
	})
	if err != nil {
		return nil, err
	}
	h := newHub(opts, server)
	h.server, h.roster.doubles = server, &doubles
	h.nc, err = server.Connect(nats.MaxReconnects(-1), nats.ErrorHandler(h.logAsync))
	if err == nil {
		err = h.start(ctx)
	}
	if err == nil {
		err = server.Listen()
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	h.warnOfOld()
	h.askAll()
	return h, nil
}

// New returns a hub on a connection to a NATS server that somebody else runs, as
// a user who may do everything in the controller's account, with port for who
// may connect. Of opts it needs no address. The hub closes the connection, and
// nothing else.
func New(ctx context.Context, nc *nats.Conn, port Port, opts Options) (*Hub, error) {
	h := newHub(opts, port)
	h.nc = nc
	if err := h.start(ctx); err != nil {
		h.Close()
		return nil, &portsnare.Error{Kind: portsnare.KindOf(err), Op: "start the hub", Err: err}
	}
	h.askAll()
	return h, nil
}

func newHub(opts Options, port Port) *Hub {
	h := &Hub{
		opts: opts, log: opts.Logger, port: port,
		roster: newRoster(), bans: newRegistry(), slots: make(chan struct{}, maxTasks),
	}
	h.guests.list = make(map[string]guest)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

func (h *Hub) logAsync(_ *nats.Conn, _ *nats.Subscription, err error) {
	h.log.Warn(msgConnection, keyError, err)
}

// start reads what earlier hubs have kept, then listens to hosts.
func (h *Hub) start(ctx context.Context) error {
	js, err := jetstream.New(h.nc)
	if err != nil {
		return err
	}
	if h.stores, err = openStores(ctx, js, h.opts.Dir, h.log); err != nil {
		return h.port.Suspect(err)
	}
	for _, load := range []func(context.Context) error{h.loadHosts, h.loadReports, h.loadMarks, h.checkOrders} {
		if err := load(ctx); err != nil {
			return h.port.Suspect(err)
		}
	}
	const any = "*"
	return errors.Join(
		h.subscribe(portsnare.ReportSubject(any), h.hearReport),
		h.subscribe(portsnare.HitsSubject(any), h.hearHits),
		h.subscribe(portsnare.BansSubject(any), h.hearBans),
		h.subscribe(portsnare.JoinRequest(any), h.hearJoin),
	)
}

// subscribe calls handle for one message after the other, until Close.
func (h *Hub) subscribe(subject string, handle nats.MsgHandler) error {
	sub, err := h.nc.Subscribe(subject, handle)
	if err != nil {
		return err
	}
	h.ended.Add(1)
	sub.SetClosedHandler(func(string) { h.ended.Done() })
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs = append(h.subs, sub)
	return nil
}

// Problems returns what an operator should know of the hub itself: what cannot be
// written, and who has to join again. It is empty where all is well.
func (h *Hub) Problems() []error {
	var problems []error
	if err := h.port.Fault(); err != nil {
		problems = append(problems, err)
	}
	if old := h.OldHosts(); len(old) > 0 {
		problems = append(problems, errOldHosts(old))
	}
	return problems
}

// Close ends the hub and returns when everything that it started has ended.
// What hosts have armed stays armed.
func (h *Hub) Close() error {
	h.cancel()
	h.mu.Lock()
	for _, sub := range h.subs {
		sub.Unsubscribe() //nolint:errcheck // the connection has ended, and the subscription with it
	}
	h.mu.Unlock()
	h.ended.Wait()
	h.tasks.Wait()
	if h.nc != nil {
		h.nc.FlushTimeout(flushTime) //nolint:errcheck // the last answers; where the server is gone so are the askers
		h.nc.Close()
	}
	if h.server != nil {
		return h.server.Close()
	}
	return nil
}

// flushTime bounds how long Close waits for the last answers to go out.
const flushTime = 5 * time.Second

// Addr returns where the hub listens, with the port that it got.
func (h *Hub) Addr() string { return h.server.Addr() }
