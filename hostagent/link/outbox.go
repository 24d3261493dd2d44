package link

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/netip"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
)

// maxQueued bounds how many hits wait for a connection. Beyond it the oldest are
// dropped, and counted.
const maxQueued = 2000

// The pace at which a host talks, at most. A controller grants each host
// 20 messages and 256 KiB a second; the bursts stay below that too.
const (
	messageRate  = 12 // a second
	messageBurst = 5
	byteRate     = 184 << 10 // a second
	byteBurst    = 64 << 10

	dropLogEvery = time.Minute // between two log lines about dropped hits
)

// outbox holds what the agent has to tell until it has been told.
type outbox struct {
	wake     chan struct{} // holds one token where there is something to send
	run      string        // names this run of the agent
	messages *rate.Limiter
	bytes    *rate.Limiter
	logged   time.Time // when dropped hits were logged last; of the sender alone

	mu     sync.Mutex
	report *portsnare.Report // the newest, sent or not
	told   bool              // report was sent over this connection
	hits   queue[portsnare.Hit]
	bans   banList
}

func newOutbox() outbox {
	return outbox{
		wake: make(chan struct{}, 1), run: rand.Text(), bans: newBanList(),
		messages: rate.NewLimiter(messageRate, messageBurst), bytes: rate.NewLimiter(byteRate, byteBurst),
	}
}

// Report tells the controller how the host is. Only the newest report counts;
// it is told again after each connect. Run and BanNumber are filled in here.
func (l *Link) Report(report portsnare.Report) {
	l.out.add(func(o *outbox) { o.report, o.told = &report, false })
}

// Hit tells the controller of a hit. It never blocks.
func (l *Link) Hit(hit portsnare.Hit) {
	l.out.add(func(o *outbox) { o.hits.push(hit) })
}

// Ban tells the controller of a ban that has begun or changed. It never blocks.
// The link keeps the ban until Unban, and tells all that it keeps after each
// connect, and when the controller asks.
func (l *Link) Ban(ban portsnare.Ban) {
	l.out.add(func(o *outbox) { o.bans.put(ban) })
}

// Unban tells the controller that the ban of a source was lifted, or is over. It
// never blocks.
func (l *Link) Unban(source netip.Prefix) {
	l.out.add(func(o *outbox) { o.bans.drop(source) })
}

func (o *outbox) add(put func(*outbox)) {
	o.mu.Lock()
	put(o)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default: // it is awake
	}
}

// conn is what of a connection is used to tell something; *nats.Conn is one.
type conn interface {
	Publish(subject string, data []byte) error
	Subscribe(subject string, hear nats.MsgHandler) (*nats.Subscription, error)
	FlushWithContext(ctx context.Context) error
}

// send carries out what there is until ctx or the connection ends. Hits that were
// not surely delivered stay; the bans are told as a whole over the next connection.
func (l *Link) send(ctx context.Context, nc conn) {
	_, err := nc.Subscribe(portsnare.ResyncSubject(l.token.Host), func(*nats.Msg) {
		l.out.add(func(o *outbox) { o.bans.ask() })
	})
	if err != nil {
		return // the connection has ended
	}
	l.out.add(func(o *outbox) { o.told = false; o.bans.begin() })
	for ctx.Err() == nil {
		b := l.out.take(l.token.Host)
		if b.empty() {
			select {
			case <-ctx.Done():
			case <-l.out.wake:
			}
			continue
		}
		if err := l.sendBatch(ctx, nc, b); err != nil {
			l.out.add(func(o *outbox) { o.putBack(b) })
			return // the session ends, and says why
		}
	}
}

// batch is what goes out at once, at most one message of each kind.
type batch struct {
	report *portsnare.Report
	bans   *portsnare.BanUpdate
	hits   *portsnare.HitBatch
}

func (b batch) empty() bool { return b.report == nil && b.bans == nil && b.hits == nil }

func (o *outbox) take(host string) (b batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.told && o.report != nil {
		report := *o.report
		report.Run, report.BanNumber = o.run, o.bans.number
		b.report, o.told = &report, true
	}
	if update, news := o.bans.next(); news {
		update.Host, update.Run = host, o.run
		b.bans = &update
	}
	if hits, lost := o.hits.take(portsnare.MaxHitsPerMessage); len(hits) > 0 {
		b.hits = &portsnare.HitBatch{Host: host, Hits: hits, Lost: lost}
	}
	return b
}

// putBack returns what was not sent. Report and bans go out again anyway.
func (o *outbox) putBack(b batch) {
	if b.hits != nil {
		o.hits.putBack(b.hits.Hits, b.hits.Lost)
	}
}

func (l *Link) sendBatch(ctx context.Context, nc conn, b batch) error {
	host := l.token.Host
	if b.report != nil {
		if err := l.publish(ctx, nc, portsnare.ReportSubject(host), b.report); err != nil {
			return err
		}
	}
	if b.bans != nil {
		if err := l.publish(ctx, nc, portsnare.BansSubject(host), b.bans); err != nil {
			return err
		}
	}
	if b.hits != nil {
		if err := l.publish(ctx, nc, portsnare.HitsSubject(host), b.hits); err != nil {
			return err
		}
		l.noteLost(b.hits.Lost)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	return nc.FlushWithContext(ctx)
}

// noteLost logs that hits were dropped, at most once a minute in a flood.
func (l *Link) noteLost(count int) {
	if count > 0 && time.Since(l.out.logged) >= dropLogEvery {
		l.out.logged = time.Now()
		l.log.Warn(msgDropped, keyCount, count)
	}
}

// publish sends a message when the pace allows it.
func (l *Link) publish(ctx context.Context, nc conn, subject string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := l.out.messages.Wait(ctx); err != nil {
		return err
	}
	for left := len(text); left > 0; left -= byteBurst {
		if err := l.out.bytes.WaitN(ctx, min(left, byteBurst)); err != nil {
			return err
		}
	}
	return nc.Publish(subject, text)
}

// queue is a bounded first-in first-out of which the oldest give way.
type queue[T any] struct {
	items   []T
	dropped int
}

func (q *queue[T]) push(item T) {
	q.items = append(q.items, item)
	q.trim()
}

// take removes the n oldest items, or all that there are, and returns how many
// before them were dropped.
func (q *queue[T]) take(n int) (items []T, dropped int) {
	n = min(n, len(q.items))
	items, q.items = q.items[:n:n], q.items[n:]
	if n > 0 {
		dropped, q.dropped = q.dropped, 0
	}
	return items, dropped
}

// putBack puts items before those that came since they were taken.
func (q *queue[T]) putBack(items []T, dropped int) {
	q.items = append(items, q.items...)
	q.dropped += dropped
	q.trim()
}

func (q *queue[T]) trim() {
	if extra := len(q.items) - maxQueued; extra > 0 {
		q.items = q.items[extra:]
		q.dropped += extra
	}
}
