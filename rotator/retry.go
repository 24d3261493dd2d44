package rotator

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/portsnare/portsnare"
)

// Bounds of repeating one call. What still fails then is told, and tried again
// from the present step later.
const (
	retryTries    = 6
	retryFirst    = 250 * time.Millisecond
	retryMax      = 15 * time.Second
	retryPatience = 2 * time.Minute // with the other side's own wish to be left alone
)

// retry repeats a call that failed in a way that may pass. It is the only one
// that does: a provider makes each call once. Between the calls it waits longer
// and longer, by chance a little more or less, and beyond the time for which the
// other side asked to be left alone. It returns the call's last error when the
// tries are used up, when ctx ends, and at once where the wait would outlast ctx
// or retryPatience.
func retry[T any](ctx context.Context, call func() (T, error)) (T, error) {
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = retryFirst, retryMax
	for try := 1; ; try++ {
		value, err := call()
		if err == nil || !passes(err) || try == retryTries {
			return value, err
		}
		wait := portsnare.RetryAfterOf(err) + waits.NextBackOff()
		if outlasts(ctx, wait) || sleep(ctx, wait) != nil {
			return value, err
		}
	}
}

// passes reports whether the same call may go well later. A conflict counts as
// such: the call begins by reading what now stands there. One over the state does
// not, since the state is not read again.
func passes(err error) bool {
	if errors.As(err, new(stale)) {
		return false
	}
	return portsnare.Retryable(err) || errors.Is(err, portsnare.Conflict)
}

func outlasts(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return wait > retryPatience || ok && time.Until(deadline) < wait
}
