package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
)

// awaited runs await in a command and returns what it said and how long it took.
func awaited(ctx context.Context, timeout time.Duration, w wait, f func(context.Context) error) (said string, took time.Duration, err error) {
	var stderr bytes.Buffer
	c := &cobra.Command{Use: "ask"}
	c.SetContext(ctx)
	c.SetErr(&stderr)
	began := time.Now()
	err = (&app{timeout: timeout}).await(c, w, f)
	return stderr.String(), time.Since(began), err
}

// silent is a controller that never answers.
func silent(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

var forRotation = wait{"the rotation of web", time.Minute, "it goes on"}

func TestAwaitReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said, took, err := awaited(t.Context(), 0, forRotation, func(context.Context) error { time.Sleep(25 * time.Second); return nil })
		want := "still waiting for the rotation of web (10s of at most 1m0s)\nstill waiting for the rotation of web (20s of at most 1m0s)\n"
		if err != nil || said != want || took != 25*time.Second {
			t.Errorf("got %q after %s, %v: want %q", said, took, err, want)
		}
	})
}

// Past the deadline the error says what did not come, and within what time.
func TestAwaitEnds(t *testing.T) {
	for name, test := range map[string]struct {
		timeout time.Duration
		f       func(context.Context) error
		took    time.Duration
	}{
		"by default":          {0, silent, time.Minute},
		"as --timeout says":   {5 * time.Second, silent, 5 * time.Second},
		"deaf to its context": {0, func(context.Context) error { time.Sleep(time.Hour); return nil }, time.Minute + abandonTime},
		"with another error":  {0, func(ctx context.Context) error { <-ctx.Done(); return errors.New("closed") }, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, took, err := awaited(t.Context(), test.timeout, forRotation, test.f)
				if took != test.took || !errors.Is(err, portsnare.Transient) ||
					!strings.HasPrefix(err.Error(), "wait for the rotation of web: nothing within ") ||
					portsnare.HintOf(err) != "it goes on; --timeout sets how long to wait" {
					t.Errorf("%v, hint %q after %s: want it after %s", err, portsnare.HintOf(err), took, test.took)
				}
				time.Sleep(time.Hour) // until what was abandoned has ended; the clock is the bubble's
			})
		})
	}
}

// Errors that are none of the deadline's, and interruptions, stay what they are.
func TestAwaitKeepsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("it broke")
		if _, _, err := awaited(t.Context(), 0, forRotation, func(context.Context) error { return broken }); err != broken {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, took, err := awaited(ctx, 0, forRotation, silent); !errors.Is(err, context.Canceled) || took != time.Second {
			t.Errorf("got %v after %s", err, took)
		}
	})
}

// TestTimeoutFlag: only a time that there is can be waited.
func TestTimeoutFlag(t *testing.T) {
	for text, ok := range map[string]bool{"90s": true, "5m": true, "0s": false, "-1s": false, "5": false, "": false} {
		var d time.Duration
		if err := (*positive)(&d).Set(text); (err == nil) != ok || ok && d <= 0 {
			t.Errorf("%q: %s, %v", text, d, err)
		}
	}
}
