package digitalocean

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/digitalocean/godo"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
)

const (
	hintToken   = "set DIGITALOCEAN_TOKEN, or DIGITALOCEAN_TOKEN_FILE to the name of a file that holds the token; tokens are made at https://cloud.digitalocean.com/account/api/tokens"
	hintScopes  = "give the token the scope %s, at https://cloud.digitalocean.com/account/api/tokens"
	hintID      = "set the group's `firewall` to the id of the firewall: `doctl compute firewall list` shows it"
	hintAbsent  = "is the id right, and the token of the team that has the firewall? `doctl compute firewall list` shows what it sees"
	hintName    = "DigitalOcean's rules bear no mark, so traps need a firewall of their own: make one that is named %s and attach it by tag, and leave the protected ports in another"
	hintRule    = "somebody made a rule that cannot be read: remove it from the firewall"
	hintLimit   = "open fewer traps, or remove rules of others from the firewall"
	hintSources = "open the traps to fewer sources"
	hintPending = "look at the Droplets of the firewall: a change does not reach one of them"
	hintReplace = "attach the firewall by tag and use the newest version, or do not ask for it to be replaced whole"
	hintDNS     = "is DIGITALOCEAN_API_URL right, where it is set? Else look at the name service of this machine"
	hintProxy   = "if a proxy stands in between, this machine must trust the certificate authority of it"
)

// errNoAnswer is an answer with a good status that holds no firewall.
var errNoAnswer = errors.New("the answer is no firewall")

// op is a call in words that a firewall's id can follow, and the scopes that it
// takes (https://docs.digitalocean.com/reference/api/digitalocean/#tag/Firewalls,
// checked 2026-11-21).
type op struct {
	phrase, scopes string
	// changesRules: what is sent is well-formed, so a refusal is about what
	// stands: one of the rules does already, or does not any more.
	changesRules bool
}

var (
	opRead     = op{"read the rules of", "firewall:read", false}
	opAdd      = op{"open ports in", "firewall:update", true}
	opRemove   = op{"close ports in", "firewall:update", true}
	opReplace  = op{"replace the rules of", "firewall:update", false}
	opDroplets = op{"see the Droplets of", "droplet:read", false}
	opTags     = op{"see the tags of", "tag:read", false}
	opWait     = op{phrase: "wait for"}
)

// call makes one call, once, when it is its turn and within the time-out, and
// explains its error.
func (f *Firewall) call(ctx context.Context, o op, do func(context.Context) error) error {
	if err := f.api.Wait(ctx, 1); err != nil {
		return f.failure(o, portsnare.Transient, err, "")
	}
	limited, cancel := context.WithTimeout(ctx, f.api.Timeout)
	defer cancel()
	err := do(limited)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return f.failure(o, portsnare.Transient, context.Cause(ctx), "")
	}
	return f.explain(o, err)
}

func (f *Firewall) failure(o op, kind portsnare.Kind, err error, hint string) *portsnare.Error {
	return failure.New(kind, "digitalocean: "+o.phrase, f.id, err, hint)
}

// explain turns an error of the SDK into one of ours.
func (f *Firewall) explain(o op, err error) error {
	if answer, ok := errors.AsType[*godo.ErrorResponse](err); ok {
		kind, hint := judge(answer.Response.StatusCode, o)
		e := f.failure(o, kind, tell(answer, err), hint)
		if kind == portsnare.RateLimited {
			e.RetryAfter = retryAfter(answer.Response.Header)
		}
		return e
	}
	unsent, sent := errors.AsType[*url.Error](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return f.failure(o, portsnare.Transient, failure.Own(fmt.Sprintf("no answer within %s", f.api.Timeout), err), "")
	case sent:
		kind, hint := failure.Network(err, hintDNS, hintProxy)
		return f.failure(o, kind, failure.Say(unsent.Err.Error(), err), hint)
	}
	return f.failure(o, portsnare.Transient, failure.Own("the answer is no reply of DigitalOcean", err), "") // half of one, or none at all
}

// judge: https://docs.digitalocean.com/reference/api/digitalocean/#section/Introduction/HTTP-Statuses
// (checked 2026-11-21).
func judge(status int, o op) (portsnare.Kind, string) {
	switch {
	case status == http.StatusUnauthorized:
		return portsnare.Denied, hintToken
	case status == http.StatusForbidden:
		return portsnare.Denied, fmt.Sprintf(hintScopes, o.scopes)
	case status == http.StatusNotFound:
		return portsnare.NotFound, hintAbsent
	case status == http.StatusConflict:
		return portsnare.Conflict, ""
	case status == http.StatusTooManyRequests:
		return portsnare.RateLimited, ""
	case status == http.StatusRequestTimeout || status >= http.StatusInternalServerError:
		return portsnare.Transient, ""
	case o.changesRules && (status == http.StatusBadRequest || status == http.StatusUnprocessableEntity):
		return portsnare.Conflict, ""
	}
	return portsnare.Invalid, ""
}

// retryAfter reads Retry-After, which DigitalOcean sends where the calls of a
// minute were too many. Where those of an hour were, ratelimit-reset says when
// the oldest of them is forgotten. It returns 0 where neither says anything.
func retryAfter(h http.Header) time.Duration {
	if seconds, err := strconv.Atoi(h.Get("Retry-After")); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	now, err := http.ParseTime(h.Get("Date"))
	reset, err2 := strconv.ParseInt(h.Get("ratelimit-reset"), 10, 64)
	if err != nil || err2 != nil || h.Get("ratelimit-remaining") != "0" {
		return 0
	}
	return max(0, time.Unix(reset, 0).Sub(now))
}

// tell leaves out what the SDK puts before the message, and the page of
// whatever answered in DigitalOcean's place.
func tell(answer *godo.ErrorResponse, err error) error {
	status := answer.Response.StatusCode
	if !strings.Contains(answer.Response.Header.Get("Content-Type"), "json") {
		return failure.Own(fmt.Sprintf("the answer is no reply of DigitalOcean (HTTP status %d)", status), err)
	}
	return failure.Say(strings.TrimRight(cmp.Or(answer.Message, http.StatusText(status)), ". "), err).Add(" (HTTP status %d)", status)
}

func invalid(op, subject string, err error, hint string) error {
	return failure.New(portsnare.Invalid, "digitalocean: "+op, subject, err, hint)
}
