package demo

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

const (
	clientPause = 20 * time.Millisecond
	// clientPatience is shorter than the second after which a lost SYN is sent
	// again: a connection that needed a second SYN has failed.
	clientPatience = 900 * time.Millisecond
)

// greeting is what the server's services say.
const greeting = "hello from the hidden service\n"

// serve is a real service: an HTTP server on an address of the server's.
func serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, greeting) }),
		ReadHeaderTimeout: 5 * time.Second,
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// client is the innocent user: he opens a new connection to the hidden port
// again and again, in turn over each family, and asks for a page.
type client struct {
	ns      *netlab.Namespace
	sources []netip.Addr     // his addresses
	targets []netip.AddrPort // the service, in the family of the source

	mu          sync.Mutex
	connections int
	failures    []error
}

// newClient returns the innocent user of the world's hidden service.
func (w *World) newClient() *client {
	return &client{
		ns:      w.net.Scanner,
		sources: []netip.Addr{netip.MustParseAddr("198.51.100.200"), netip.MustParseAddr("2001:db8:51:c::200")},
		targets: []netip.AddrPort{netip.AddrPortFrom(netlab.ServerAddr4, w.hidden.Number), netip.AddrPortFrom(netlab.ServerAddr6, w.hidden.Number)},
	}
}

// run asks until ctx ends.
func (c *client) run(ctx context.Context) {
	pause := time.NewTicker(clientPause)
	defer pause.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		err := c.ask(ctx, i%len(c.sources))
		if ctx.Err() != nil {
			return // cut short by us
		}
		c.mu.Lock()
		c.connections++
		if err != nil {
			c.failures = append(c.failures, err)
		}
		c.mu.Unlock()
	}
}

// ask opens a connection and asks over it. There is no http.Client in between,
// which would go on dialing in the background when it is told to stop.
func (c *client) ask(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, clientPatience)
	defer cancel()
	conn, err := c.ns.Dial(ctx, "tcp", c.sources[i].String(), c.targets[i].String())
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	request, err := http.NewRequest(http.MethodGet, "http://"+c.targets[i].String()+"/", nil)
	if err != nil {
		return err
	}
	request.Close = true
	if err := request.Write(conn); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	if err == nil && string(body) != greeting {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// tally returns how many connections were made and why some failed.
func (c *client) tally() (connections int, failures []error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connections, c.failures
}
