package link

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/portsnare/portsnare"
)

// mostQueued bounds how many hits, and how many bans, wait for a connection.
// Beyond it the oldest are dropped.
const mostQueued = 1000

// outbox holds what the agent has to tell until it has been told.
type outbox struct {
	wake chan struct{} // holds one token where there is something to send

	mu     sync.Mutex
	report *portsnare.Report // the newest, sent or not
	told   bool              // report was sent over this connection
	hits   queue[portsnare.Hit]
	bans   queue[portsnare.Ban]
}

func newOutbox() outbox { return outbox{wake: make(chan struct{}, 1)} }

// Report tells the controller how the host is. Only the newest report counts;
// it is told again after each connect.
func (l *Link) Report(report portsnare.Report) {
	l.out.add(func(o *outbox) { o.report, o.told = &report, false })
}

// Hit tells the controller of a hit. It never blocks.
func (l *Link) Hit(hit portsnare.Hit) {
	l.out.add(func(o *outbox) { o.hits.push(hit) })
}

// Ban tells the controller of a ban. It never blocks.
func (l *Link) Ban(ban portsnare.Ban) {
	l.out.add(func(o *outbox) { o.bans.push(ban) })
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

// send carries out what there is until ctx or the connection ends. What was
// not surely delivered stays.
func (l *Link) send(ctx context.Context, nc *nats.Conn) {
	l.out.add(func(o *outbox) { o.told = false })
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.out.wake:
		}
		batch := l.out.take()
		if err := l.sendBatch(ctx, nc, batch); err != nil {
			l.out.add(func(o *outbox) { o.putBack(batch) })
			return // the session ends, and says why
		}
	}
}

// batch is what goes out at once.
type batch struct {
	report  *portsnare.Report
	bans    []portsnare.Ban
	hits    []portsnare.Hit
	dropped int
}

func (o *outbox) take() batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := batch{bans: o.bans.take(), hits: o.hits.take(), dropped: o.bans.dropped + o.hits.dropped}
	if !o.told {
		b.report, o.told = o.report, true
	}
	o.bans.dropped, o.hits.dropped = 0, 0
	return b
}

// putBack returns what was not sent. The report goes out again anyway.
func (o *outbox) putBack(b batch) {
	o.bans.putBack(b.bans)
	o.hits.putBack(b.hits)
}

func (l *Link) sendBatch(ctx context.Context, nc *nats.Conn, b batch) error {
	host := l.token.Host
	if b.report != nil {
		if err := publish(nc, portsnare.ReportSubject(host), b.report); err != nil {
			return err
		}
	}
	for _, ban := range b.bans {
		if err := publish(nc, portsnare.BansSubject(host), ban); err != nil {
			return err
		}
	}
	for _, hit := range b.hits {
		if err := publish(nc, portsnare.HitsSubject(host), hit); err != nil {
			return err
		}
	}
	if b.dropped > 0 {
		l.log.Warn(msgDropped, keyCount, b.dropped)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	return nc.FlushWithContext(ctx)
}

func publish(nc *nats.Conn, subject string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
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

// take empties the queue.
func (q *queue[T]) take() []T {
	items := q.items
	q.items = nil
	return items
}

// putBack puts items before those that came since they were taken.
func (q *queue[T]) putBack(items []T) {
	q.items = append(items, q.items...)
	q.trim()
}

func (q *queue[T]) trim() {
	if extra := len(q.items) - mostQueued; extra > 0 {
		q.items = q.items[extra:]
		q.dropped += extra
	}
}
