package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// stopTime is how long a command may take to end by itself after a signal. With
// the rest of the second it is ended, whatever it does: each file that it writes is
// complete or not there, and controller and agent continue after any death.
const stopTime = 700 * time.Millisecond

// Main runs the command of a tree that args name, as [Run] does, and returns the
// exit code within a second of SIGINT or SIGTERM, at once after a second one. The
// code is then never [ExitDone]. SIGHUP ends nothing; see [LogHangups].
func Main(root *cobra.Command, args []string, streams IO) int {
	stops, hangups := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(stops, syscall.SIGINT, syscall.SIGTERM)
	signal.Notify(hangups, syscall.SIGHUP)
	// A reader who is gone is an error of the write, after which files and
	// namespaces are still removed, and not the end on the spot.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), hangupsKey{}, (<-chan os.Signal)(hangups)))
	defer cancel()
	ended := make(chan int, 1)
	go func() { ended <- Run(ctx, root, args, streams) }()
	select {
	case code := <-ended:
		return code
	case <-stops:
	}
	cancel()
	select {
	case code := <-ended:
		if code != ExitDone {
			return code
		}
	case <-stops:
	case <-time.After(stopTime):
	}
	tell(streams.Err, errInterrupted)
	return ExitFailed
}

var errInterrupted = errors.New("interrupted")

type hangupsKey struct{}

// LogHangups logs each SIGHUP until ctx ends or the caller calls stop, which
// returns when nothing more will be logged. It is for commands that run until they
// are stopped; to others SIGHUP is nothing.
func LogHangups(ctx context.Context, log *slog.Logger) (stop func()) {
	hangups, _ := ctx.Value(hangupsKey{}).(<-chan os.Signal)
	ctx, cancel := context.WithCancel(ctx)
	var task sync.WaitGroup
	task.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				log.Warn("ignored SIGHUP: this version cannot reload its configuration, restart it instead")
			}
		}
	})
	return func() { cancel(); task.Wait() }
}

// pipeClosed reports whether err says that nobody reads our answer any more,
// as under `portsnare bans | head`. There is nobody to be told.
func pipeClosed(err error) bool {
	failed, ok := errors.AsType[*os.PathError](err)
	return ok && failed.Op == "write" && errors.Is(err, syscall.EPIPE)
}
