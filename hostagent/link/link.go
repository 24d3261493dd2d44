// Package link is the agent's side of the link to the controller: it dials out,
// hands over each order, and carries back what the agent has to tell. It opens
// no port, and it never gives up.
package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/portsnare/portsnare"
)

// Times of the link.
const (
	dialTime    = 10 * time.Second // to connect, TLS and credential included
	requestTime = 10 * time.Second // for the stored order to come
	pingEvery   = 20 * time.Second // a dead connection is known after three of them

	// Between attempts to connect, each varied by half, so that the hosts of a
	// fleet do not all come at once when the controller is back.
	retryFirst = 500 * time.Millisecond
	retryMost  = 10 * time.Second
	// retryRefused is the wait where the controller knows us no more. It may
	// again once it has been restored from a backup, and the host is to be back
	// within 15 s then.
	retryRefused = 10 * time.Second
)

// Options of a [Link].
type Options struct {
	Token  portsnare.Token
	Logger *slog.Logger
}

// Link connects one host with its controller. Its methods may be called by
// several goroutines at once, before Run and during it.
type Link struct {
	token portsnare.Token
	log   *slog.Logger
	id    identity
	out   outbox
	last  []byte // the order handed over last, as it came

	mu     sync.Mutex
	dialed []netip.Addr // of the controller, latest last
	state  state
}

// New returns a link that joins with the token given. One that makes no sense
// is an error of kind Invalid.
func New(opts Options) (*Link, error) {
	if opts.Token.Use == portsnare.ToJoin {
		return nil, badToken(errors.New("it is for joining, not for running"))
	}
	l := &Link{token: opts.Token, log: opts.Logger, out: newOutbox()}
	var err error
	if l.id, err = newIdentity(opts.Token); err != nil {
		return nil, badToken(err)
	}
	return l, nil
}

func badToken(err error) error {
	return &portsnare.Error{
		Kind: portsnare.Invalid, Op: "use the token", Err: err,
		Hint: "make a new one with `portsnare enroll --renew HOST` on the controller, and join with that",
	}
}

// Run keeps the host connected until ctx ends. It calls onOrder with the stored
// order after each connect, unless it is the one handed over last, and with
// each order that comes later, one call at a time. Only the latest order counts.
func (l *Link) Run(ctx context.Context, onOrder func(portsnare.Order)) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = retryFirst, retryMost
	for ctx.Err() == nil {
		err := l.session(ctx, onOrder, wait.Reset)
		if ctx.Err() != nil {
			break
		}
		pause := wait.NextBackOff()
		if l.tell(err) == refused {
			pause = retryRefused
		}
		sleep(ctx, pause)
	}
	return nil
}

// session is one connection from its making to its end. It calls ready once
// the host has all that the controller had for it.
func (l *Link) session(ctx context.Context, onOrder func(portsnare.Order), ready func()) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	nc, err := l.connect(ctx, end)
	if err != nil {
		return err
	}
	defer nc.Close()
	push, err := nc.SubscribeSync(portsnare.PushSubject(l.token.Host))
	if err != nil {
		return err
	}
	in := &inbox{link: l, onOrder: onOrder}
	if err := in.fetch(ctx, nc); err != nil {
		return err
	}
	ready()
	l.tell(nil)

	var sender sync.WaitGroup
	defer sender.Wait()
	defer end()
	sender.Go(func() {
		defer end()
		l.send(ctx, nc)
	})
	for {
		msg, err := push.NextMsgWithContext(ctx)
		if err != nil {
			return lost(nc.LastError())
		}
		in.take(msg)
	}
}

// lost is the end of a connection that stood; cause may be nil.
func lost(cause error) error {
	const text = "the connection was lost"
	if cause == nil {
		return errors.New(text)
	}
	return fmt.Errorf(text+": %w", cause)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
