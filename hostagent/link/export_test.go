package link

import "context"

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
