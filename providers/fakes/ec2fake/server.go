package ec2fake

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// stopTime is how long calls under way may still answer when Serve is to end.
const stopTime = time.Second

// Serve answers requests on l until ctx ends, and then returns nil. It closes l,
// and when it returns no call is under way any more.
func (f *Fake) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.RWMutex // read-held by each call
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			running.RLock()
			defer running.RUnlock()
			if ctx.Err() != nil {
				panic(http.ErrAbortHandler)
			}
			f.ServeHTTP(w, r)
		}),
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		stop(server)
		running.Lock()
		defer running.Unlock()
	}()
	err := server.Serve(l)
	cancel()
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// stop closes idle connections at once and the others when they have answered,
// or after stopTime.
func stop(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		server.Close()
	}
}
