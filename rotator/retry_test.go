package rotator

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portsnare/portsnare"
)

// failing returns a call that fails with errs one after the other, and then
// goes well, and the count of its calls.
func failing(errs ...error) (call func() (string, error), calls *int) {
	calls = new(int)
	return func() (string, error) {
		*calls++
		if *calls <= len(errs) {
			return "", errs[*calls-1]
		}
		return "well", nil
	}, calls
}

func repeated(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func TestRetry(t *testing.T) {
	asked := func(d time.Duration) error { return &portsnare.Error{Kind: portsnare.RateLimited, RetryAfter: d} }
	for _, tt := range []struct {
		name     string
		errs     []error
		within   time.Duration // of the context; 0 for no end
		calls    int
		well     bool
		min, max time.Duration // that it takes
	}{
		{"goes well", nil, 0, 1, true, 0, 0},
		{"passes", repeated(portsnare.Transient, 3), 0, 4, true, 3 * retryFirst / 2, 3 * time.Second},
		{"conflict", repeated(portsnare.Conflict, 1), 0, 2, true, retryFirst / 2, retryFirst * 3 / 2},
		{"stays", repeated(portsnare.Denied, 9), 0, 1, false, 0, 0},
		{"passes, then stays", []error{portsnare.Transient, portsnare.NotFound}, 0, 2, false, retryFirst / 2, retryFirst * 3 / 2},
		{"for ever", repeated(portsnare.Transient, 99), 0, retryTries, false, time.Second, retryTries * retryMax},
		{"asked to wait", []error{asked(7 * time.Second)}, 0, 2, true, 7*time.Second + retryFirst/2, 8 * time.Second},
		{"asked to wait twice", repeated(asked(30*time.Second), 2), 0, 3, true, time.Minute, time.Minute + 2*time.Second},
		{"asked to wait too long", repeated(asked(time.Hour), 9), 0, 1, false, 0, 0},
		{"asked to wait longer than there is time", repeated(asked(time.Minute), 9), 30 * time.Second, 1, false, 0, 0},
		{"time runs out", repeated(asked(20*time.Second), 9), 30 * time.Second, 2, false, 20 * time.Second, 21 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.within > 0 {
					limited, cancel := context.WithTimeout(ctx, tt.within)
					defer cancel()
					ctx = limited
				}
				call, calls := failing(tt.errs...)
				began := time.Now()
				value, err := retry(ctx, call)
				if took := time.Since(began); took < tt.min || took > tt.max {
					t.Errorf("took %s, want %s to %s", took, tt.min, tt.max)
				}
				if *calls != tt.calls {
					t.Errorf("%d calls, want %d", *calls, tt.calls)
				}
				if well := err == nil && value == "well"; well != tt.well || !tt.well && !errors.Is(err, tt.errs[*calls-1]) {
					t.Errorf("%q, %v; want it to go well: %v", value, err, tt.well)
				}
			})
		})
	}
}

// Who is called off while waiting stops waiting.
func TestRetryCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		call, calls := failing(repeated(&portsnare.Error{Kind: portsnare.RateLimited, RetryAfter: time.Minute}, 9)...)
		began := time.Now()
		time.AfterFunc(3*time.Second, cancel)
		_, err := retry(ctx, call)
		if took := time.Since(began); took != 3*time.Second || *calls != 1 || !errors.Is(err, portsnare.RateLimited) {
			t.Errorf("%d calls in %s, error %v", *calls, took, err)
		}
	})
}

// No two callers come back at the same moment.
func TestRetryJitters(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 8 {
		synctest.Test(t, func(t *testing.T) {
			call, _ := failing(portsnare.Transient)
			began := time.Now()
			if _, err := retry(t.Context(), call); err != nil {
				t.Fatal(err)
			}
			seen[time.Since(began)] = true
		})
	}
	if len(seen) < 2 {
		t.Errorf("8 retries waited all %v", seen)
	}
}
