package link

import (
	"context"

	"golang.org/x/time/rate"
)

// Unpaced lets a link that does not run yet speak as fast as the connection takes it.
func Unpaced(l *Link) {
	l.out.messages.SetLimit(rate.Inf)
	l.out.bytes.SetLimit(rate.Inf)
}

// Conn is what a link speaks over.
type Conn = conn

// SpeakOver is one session of a link, without orders, over a connection that wrap
// may change. It returns when ctx ends.
func SpeakOver(ctx context.Context, l *Link, wrap func(Conn) Conn) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	nc, err := l.connect(ctx, end)
	if err != nil {
		return err
	}
	defer nc.Close()
	l.send(ctx, wrap(nc))
	return nil
}
