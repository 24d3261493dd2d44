package portsnare

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Kind says what sort of failure an error is, so that code can decide without
// reading text: errors.Is(err, portsnare.NotFound).
type Kind string

// The kinds of failure. A Kind is itself an error, usable with errors.Is.
const (
	// Invalid: the input is wrong and stays wrong until someone changes it.
	Invalid Kind = "invalid"
	// NotFound: the thing named does not exist where it was looked for.
	NotFound Kind = "not found"
	// Denied: a credential or privilege is missing, unknown or too weak.
	Denied Kind = "denied"
	// Conflict: somebody else changed or already made what was to be changed.
	Conflict Kind = "conflict"
	// LimitExceeded: a quota of the provider or of the kernel is used up.
	LimitExceeded Kind = "limit exceeded"
	// RateLimited: too many calls; the same call may succeed later.
	RateLimited Kind = "rate limited"
	// Transient: a passing fault; the same call may succeed later.
	Transient Kind = "transient"
	// Unavailable: a program, a kernel ability or a peer that is needed is absent.
	Unavailable Kind = "unavailable"
)

// Error makes a Kind usable as the target of errors.Is.
func (k Kind) Error() string { return string(k) }

// Error is a failure told to two readers: Kind to code; Op, Subject, Err and
// Hint to people. It prints as "op subject: cause".
type Error struct {
	Kind    Kind
	Op      string // what was attempted, such as "read rules of"
	Subject string // on what, such as "sg-0f3a9c1d2e4b5a687"
	Err     error  // why it failed; may be nil
	Hint    string // what to type or change, a sentence; may be empty

	// RetryAfter is how long the other side asked to be left alone; 0 where it
	// did not say.
	RetryAfter time.Duration
}

// Error returns "op subject: cause".
func (e *Error) Error() string {
	text := strings.TrimSpace(e.Op + " " + e.Subject)
	switch {
	case e.Err == nil && text == "":
		return string(e.Kind)
	case e.Err == nil:
		return text + ": " + string(e.Kind)
	case text == "":
		return e.Err.Error()
	}
	return text + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is this error's Kind.
func (e *Error) Is(target error) bool {
	kind, ok := target.(Kind)
	return ok && kind == e.Kind
}

// KindOf returns the Kind of the outermost [Error] in err's chain, or "".
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// HintOf returns the hint of err that lies deepest, which is the most precise
// one, or "". Of several branches, as [errors.Join] makes them, each may have one:
// the hints are then given one after the other, each once.
func HintOf(err error) string {
	return strings.Join(hintsOf(err), "; ")
}

func hintsOf(err error) []string {
	var hints []string
	for _, cause := range causes(err) {
		for _, hint := range hintsOf(cause) {
			if !slices.Contains(hints, hint) {
				hints = append(hints, hint)
			}
		}
	}
	if e, ok := err.(*Error); ok && len(hints) == 0 && e.Hint != "" { //nolint:errorlint // this very error, not its causes
		hints = []string{e.Hint}
	}
	return hints
}

// RetryAfterOf returns the longest RetryAfter found in err and its causes, or 0.
func RetryAfterOf(err error) time.Duration {
	var longest time.Duration
	if e, ok := err.(*Error); ok { //nolint:errorlint // this very error, not its causes
		longest = e.RetryAfter
	}
	for _, cause := range causes(err) {
		longest = max(longest, RetryAfterOf(cause))
	}
	return longest
}

// causes returns what err wraps: nothing, one error, or several side by side.
func causes(err error) []error {
	switch e := err.(type) { //nolint:errorlint // this very error, not its causes
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			return []error{cause}
		}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	}
	return nil
}

// Retryable reports whether the same call may succeed later without anybody
// changing anything.
func Retryable(err error) bool {
	return errors.Is(err, Transient) || errors.Is(err, RateLimited)
}
