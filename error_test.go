package portsnare

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestErrorSpeaksToBoth(t *testing.T) {
	cause := &Error{Kind: Denied, Err: errors.New("no such key"), Hint: "export AWS_PROFILE"}
	err := fmt.Errorf("group web: %w", &Error{Kind: NotFound, Op: "read", Subject: "sg-1", Err: cause})
	if got, want := err.Error(), "group web: read sg-1: no such key"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	if !errors.Is(err, NotFound) || !errors.Is(err, Denied) || errors.Is(err, Transient) {
		t.Error("the kinds in the chain are not found")
	}
	if KindOf(err) != NotFound {
		t.Errorf("KindOf = %q, want the outermost", KindOf(err))
	}
	if got := HintOf(err); got != "export AWS_PROFILE" {
		t.Errorf("hint %q", got)
	}
	if HintOf(errors.New("x")) != "" || KindOf(nil) != "" {
		t.Error("a plain error has a hint or a kind")
	}
}

// TestErrorsSideBySide: nothing that one of several causes says is lost, and the
// most precise hint of each is given.
func TestErrorsSideBySide(t *testing.T) {
	enroll := &Error{Kind: Transient, Op: "wait for", Subject: "web-2", Hint: "portsnare enroll web-2"}
	silent := &Error{Kind: Transient, Op: "wait for", Subject: "web-3", Hint: "look on web-3", RetryAfter: time.Minute}
	general := func(cause error) error { return &Error{Op: "arm", Err: cause, Hint: "look at the agent"} }
	for _, tt := range []struct {
		name  string
		err   error
		hint  string
		after time.Duration
	}{
		{"the general one alone", general(errors.New("x")), "look at the agent", 0},
		{"the precise one below", general(enroll), "portsnare enroll web-2", 0},
		{"below a join of one", general(errors.Join(enroll)), "portsnare enroll web-2", 0},
		{"two hosts", general(errors.Join(enroll, silent)), "portsnare enroll web-2; look on web-3", time.Minute},
		{"the second branch", errors.Join(errors.New("x"), silent), "look on web-3", time.Minute},
		{"the same twice", errors.Join(enroll, enroll), "portsnare enroll web-2", 0},
		{"several in one text", fmt.Errorf("%w and %w", errors.New("x"), silent), "look on web-3", time.Minute},
		{"deep below", fmt.Errorf("a: %w", errors.Join(errors.New("x"), fmt.Errorf("b: %w", general(silent)))), "look on web-3", time.Minute},
		{"nothing joined", errors.Join(nil, nil), "", 0},
	} {
		if got := HintOf(tt.err); got != tt.hint {
			t.Errorf("%s: hint %q, want %q", tt.name, got, tt.hint)
		}
		if got := RetryAfterOf(tt.err); got != tt.after {
			t.Errorf("%s: retry after %s, want %s", tt.name, got, tt.after)
		}
	}
}

func TestErrorText(t *testing.T) {
	for _, tt := range []struct {
		err  Error
		want string
	}{
		{Error{Kind: Transient}, "transient"},
		{Error{Kind: Transient, Op: "read", Subject: "x"}, "read x: transient"},
		{Error{Kind: Transient, Err: errors.New("boom")}, "boom"},
		{Error{Kind: Transient, Op: "read", Err: errors.New("boom")}, "read: boom"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestRetryable(t *testing.T) {
	for kind, want := range map[Kind]bool{Transient: true, RateLimited: true, Denied: false, Conflict: false} {
		if got := Retryable(fmt.Errorf("x: %w", &Error{Kind: kind})); got != want {
			t.Errorf("Retryable(%s) = %v", kind, got)
		}
	}
}

func TestRetryAfterOf(t *testing.T) {
	inner := &Error{Kind: RateLimited, RetryAfter: 3 * time.Second}
	for _, tt := range []struct {
		name string
		err  error
		want time.Duration
	}{
		{"none", errors.New("x"), 0},
		{"nil", nil, 0},
		{"wrapped", fmt.Errorf("group web: %w", inner), 3 * time.Second},
		{"below one that does not say", &Error{Kind: Transient, Err: inner}, 3 * time.Second},
		{"below a shorter one", &Error{RetryAfter: time.Second, Err: inner}, 3 * time.Second},
	} {
		if got := RetryAfterOf(tt.err); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
