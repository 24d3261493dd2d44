package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/portsnare/portsnare"
)

// Options of a [Hub].
type Options struct {
	Dir       string   // state directory, made and closed to others; one hub at a time
	Listen    string   // such as "0.0.0.0:4222", which is the default; port 0 for any
	Advertise []string // where hosts find the hub: names or addresses, a port if it differs

	// OnHit and OnBan hear what hosts tell, one call at a time each, and must
	// not block. Either may be nil.
	OnHit func(portsnare.Hit)
	OnBan func(portsnare.Ban)

	Logger *slog.Logger
}

// Hub is the controller's side of the link. Its methods may be called by
// several goroutines at once.
type Hub struct {
	opts  Options
	log   *slog.Logger
	where addresses
	port  int

	lock   *os.File
	keys   *keyring
	gate   *gate
	server *natsServer
	nc     *nats.Conn
	stores *stores

	roster *roster
	guests guests

	ctx    context.Context // of requests being served; ends with the hub
	cancel context.CancelFunc
	ended  sync.WaitGroup // subscriptions that have yet to end
	tasks  sync.WaitGroup // requests being served
	slots  chan struct{}  // bounds tasks

	mu   sync.Mutex
	subs []*nats.Subscription
}

// Open starts the hub on what an earlier one left in the state directory, or
// on a new one. When it returns, hosts can connect. The caller must Close it.
func Open(ctx context.Context, opts Options) (*Hub, error) {
	h := &Hub{opts: opts, log: opts.Logger, gate: newGate(), roster: newRoster(), slots: make(chan struct{}, maxTasks)}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	for _, step := range []func(context.Context) error{
		h.claim, h.startServer, h.connect, h.load, h.listenToHosts, h.openPort,
	} {
		if err := step(ctx); err != nil {
			h.Close()
			return nil, &portsnare.Error{Kind: portsnare.KindOf(err), Op: "start the hub in", Subject: opts.Dir, Err: err}
		}
	}
	return h, nil
}

func (h *Hub) claim(context.Context) (err error) {
	if h.where, err = parseAddresses(h.opts.Listen, h.opts.Advertise); err != nil {
		return err
	}
	if h.lock, err = claim(h.opts.Dir); err != nil {
		return err
	}
	h.keys, err = openKeyring(h.opts.Dir, h.where.names(), time.Now)
	return err
}

func (h *Hub) startServer(context.Context) (err error) {
	h.server, err = startServer(h.opts.Dir, h.where.listen, h.keys.tlsConfig(), h.gate, h.log)
	return err
}

// connect makes the controller's own connection, with a credential that lives
// no longer than the process, and lets the operator in.
func (h *Hub) connect(context.Context) error {
	own, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	key, err := own.PublicKey()
	if err != nil {
		return err
	}
	h.gate.admit(key, h.gate.controllerUser())
	if h.nc, err = nats.Connect("", nats.InProcessServer(h.server), nats.Nkey(key, own.Sign),
		nats.CustomInboxPrefix(controllerInbox), nats.MaxReconnects(-1), nats.ErrorHandler(h.logAsync)); err != nil {
		return err
	}
	seed, err := readOrMake(filepath.Join(h.opts.Dir, operatorFile), newSeed)
	if err != nil {
		return err
	}
	operator, err := publicKey(seed)
	if err != nil {
		return fmt.Errorf("%s: %w", operatorFile, err)
	}
	h.gate.admit(operator, h.gate.operatorUser())
	return nil
}

func (h *Hub) logAsync(_ *nats.Conn, _ *nats.Subscription, err error) {
	h.log.Warn(msgConnection, keyError, err)
}

// load reads what earlier hubs have kept.
func (h *Hub) load(ctx context.Context) error {
	js, err := jetstream.New(h.nc)
	if err != nil {
		return err
	}
	if h.stores, err = openStores(ctx, js); err != nil {
		return err
	}
	if err := h.loadHosts(ctx); err != nil {
		return err
	}
	return h.loadReports(ctx)
}

func (h *Hub) listenToHosts(context.Context) error {
	const any = "*"
	return errors.Join(
		h.subscribe(portsnare.ReportSubject(any), h.hearReport),
		h.subscribe(portsnare.HitsSubject(any), h.hearHit),
		h.subscribe(portsnare.BansSubject(any), h.hearBan),
	)
}

// openPort is the last step: whoever comes from now on finds the hub complete.
func (h *Hub) openPort(context.Context) (err error) {
	if h.port, err = h.server.listen(); err != nil {
		return err
	}
	return writeFile(filepath.Join(h.opts.Dir, urlFile), []byte(h.where.local().url(h.port)+"\n"))
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

// Close ends the hub and returns when everything that it started has ended.
// What hosts have armed stays armed.
func (h *Hub) Close() error {
	h.cancel()
	h.mu.Lock()
	for _, sub := range h.subs {
		sub.Unsubscribe()
	}
	h.mu.Unlock()
	h.ended.Wait()
	h.tasks.Wait()
	if h.nc != nil {
		h.nc.Flush() // the last answers; where the server is gone so are the askers
		h.nc.Close()
	}
	if h.server != nil {
		h.server.stop()
	}
	if h.lock != nil {
		return h.lock.Close()
	}
	return nil
}

// Addr returns where the hub listens, with the port that it got.
func (h *Hub) Addr() string {
	return net.JoinHostPort(h.where.listen.host, strconv.Itoa(h.port))
}

func portOf(addr net.Addr) int { return addr.(*net.TCPAddr).Port }
