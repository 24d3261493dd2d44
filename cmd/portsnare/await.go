package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
)

// How long commands wait unless --timeout says otherwise.
const (
	questionTime = 30 * time.Second // for an answer that the controller has at hand
	cloudTime    = 2 * time.Minute  // for all that one command asks a cloud for one group
	rotationTime = 15 * time.Minute // for rotations
)

// progressTime is after how long, and how often, a command says that it still waits.
const progressTime = 10 * time.Second

// wait says what a command waits for.
type wait struct {
	what string        // such as "the controller's answer to `status`"
	most time.Duration // unless --timeout says otherwise
	hint string        // what to do where it does not come
}

// await calls f with a deadline, and says on standard error what is being waited for
// while that takes long. Past the deadline the error says so.
func (a *app) await(c *cobra.Command, w wait, f func(context.Context) error) error {
	if a.timeout > 0 {
		w.most = a.timeout
	}
	ctx, cancel := context.WithTimeout(c.Context(), w.most)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	err := w.watch(ctx, c.ErrOrStderr(), ended)
	if err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	return &portsnare.Error{Kind: portsnare.Transient, Op: "wait for", Subject: w.what,
		Err: fmt.Errorf("nothing within %s: %w", w.most, err), Hint: w.hint + "; --timeout sets how long to wait"}
}

// abandonTime is how long something may take to end once its context has.
const abandonTime = time.Second

// watch returns what comes from ended, and until then reports now and then. What
// does not end with its context is abandoned.
func (w wait) watch(ctx context.Context, out io.Writer, ended <-chan error) error {
	progress := time.NewTicker(progressTime)
	defer progress.Stop()
	began := time.Now()
	var late <-chan time.Time
	done := ctx.Done()
	for {
		select {
		case err := <-ended:
			return err
		case <-done:
			done, late = nil, time.After(abandonTime)
		case <-late:
			return ctx.Err()
		case <-progress.C:
			cli.NewText(out).Line("still waiting for %s (%s of at most %s)", w.what, time.Since(began).Round(time.Second), w.most)
		}
	}
}

// question asks the running controller for verb, as ask does, within a time.
func (a *app) question(c *cobra.Command, verb string, in, out any) error {
	w := wait{"the controller's answer to `" + c.Name() + "`", questionTime, "is the controller overloaded? systemctl status portsnare"}
	return a.await(c, w, func(ctx context.Context) error { return a.ask(ctx, verb, in, out) })
}
