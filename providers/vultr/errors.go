package vultr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
)

const (
	hintSecret   = "set VULTR_API_KEY, or VULTR_API_KEY_FILE to the name of a file that holds it; keys are made at https://my.vultr.com/settings/#settingsapi"
	hintGroup    = "set the group's `firewall` to the id of a firewall group of this account; `vultr-cli firewall group list` shows them"
	hintKey      = "is the API key right, and does the API's access control at https://my.vultr.com/settings/#settingsapi admit this machine's address?"
	hintRight    = "let the user of the API key manage firewalls, at https://my.vultr.com/settings/#settingsusers"
	hintRate     = "Vultr answers 30 requests a second for each address: does another program here use its API?"
	hintFull     = "the group holds %d rules of %d: remove some, ask Vultr to raise the limit, or open fewer traps"
	hintEndpoint = "correct VULTR_API_ENDPOINT, or unset it"
	hintProxy    = "if a proxy stands in between, name the file of its certificate authority in SSL_CERT_FILE"
)

// An operation is one of the calls made here.
type operation struct {
	op     string         // in words that a group's id can follow
	absent portsnare.Kind // what it means that Vultr does not find it
	hint   string         // what can be done about that
}

var (
	find   = operation{"find", portsnare.NotFound, hintGroup}
	read   = operation{"read the rules of", portsnare.NotFound, hintGroup}
	create = operation{"open ports in", portsnare.NotFound, hintGroup}
	// That a rule is gone and that its group is gone is one status. Whoever
	// reads the rules then learns which.
	look   = operation{"look at a rule of", portsnare.Conflict, ""}
	remove = operation{"close ports in", portsnare.Conflict, ""}
)

// call waits for its turn, makes one call, once, within the time-out, and
// explains its error. No result and no error is an error too.
func call[T any](ctx context.Context, f *Firewall, o operation, do func(context.Context) (*T, error)) (*T, error) {
	if err := f.wait(ctx, o, 1); err != nil {
		return nil, err
	}
	return callNow(ctx, f, o, do)
}

// callNow is a call that has waited already.
func callNow[T any](ctx context.Context, f *Firewall, o operation, do func(context.Context) (*T, error)) (*T, error) {
	limited, cancel := context.WithTimeout(ctx, f.api.Timeout)
	defer cancel()
	limited, x := watched(limited)
	out, err := do(limited)
	if err == nil && out != nil {
		return out, nil
	}
	return nil, f.explain(ctx, o, x, err)
}

// wait waits until n more calls may be made.
func (f *Firewall) wait(ctx context.Context, o operation, n int) error {
	if err := f.api.Wait(ctx, n); err != nil {
		return f.failure(portsnare.Transient, o, err, "")
	}
	return nil
}

func (f *Firewall) failure(kind portsnare.Kind, o operation, err error, hint string) *portsnare.Error {
	return failure.New(kind, "vultr: "+o.op, f.groupID, err, hint)
}

// explain turns what became of a call into an error of ours. ctx is the caller's.
func (f *Firewall) explain(ctx context.Context, o operation, x *exchange, err error) error {
	if ctx.Err() != nil {
		return f.failure(portsnare.Transient, o, context.Cause(ctx), "")
	}
	if x.err != nil {
		err = x.err
	}
	kind, hint := judge(o, x)
	e := f.failure(kind, o, f.tell(x, &answered{err, x.status}), hint)
	e.RetryAfter = x.retryAfter
	return e
}

// judge says what a failure means to the caller, and what people can do about
// it. Vultr documents statuses and no codes
// (https://www.vultr.com/api/#section/Introduction/Response-Codes, checked
// 2026-11-21).
func judge(o operation, x *exchange) (portsnare.Kind, string) {
	switch {
	case x.err != nil:
		return failure.Network(x.err, hintEndpoint, hintProxy)
	case x.status == http.StatusTooManyRequests:
		return portsnare.RateLimited, hintRate
	case x.status == http.StatusUnauthorized:
		return portsnare.Denied, hintKey
	case x.status == http.StatusForbidden:
		return portsnare.Denied, hintRight
	case x.status == http.StatusNotFound && x.message != "":
		return o.absent, o.hint
	case x.status == http.StatusBadRequest && strings.Contains(x.message, "already defined"):
		return portsnare.Conflict, ""
	case x.status < 300, x.status >= 500, x.status == http.StatusRequestTimeout: // a proxy's page, or half an answer
		return portsnare.Transient, ""
	case x.message == "": // nothing that speaks as the API does: another server
		return portsnare.Invalid, hintEndpoint
	}
	return portsnare.Invalid, ""
}

func (f *Firewall) tell(x *exchange, err error) error {
	switch {
	case errors.Is(x.err, context.DeadlineExceeded):
		return failure.Own(fmt.Sprintf("no answer within %s", f.api.Timeout), err)
	case x.err != nil:
		return failure.Say(x.err.Error(), err)
	case x.message == "":
		return failure.Own(fmt.Sprintf("the answer is no reply of Vultr's API (HTTP status %d)", x.status), err)
	}
	return failure.Say(strings.TrimRight(x.message, ". "), err).Add(" (HTTP status %d)", x.status)
}

// answered is an error of a call and the status of its answer.
type answered struct {
	err    error // may be nil
	status int   // 0 if there is no answer
}

func (a *answered) Error() string { return fmt.Sprint(a.err) }
func (a *answered) Unwrap() error { return a.err }

// statusOf returns the HTTP status that an error of ours stems from, or 0.
func statusOf(err error) int {
	if a, ok := errors.AsType[*answered](err); ok {
		return a.status
	}
	return 0
}

func invalid(op, subject string, err error, hint string) error {
	return failure.New(portsnare.Invalid, "vultr: "+op, subject, err, hint)
}
