package dofake_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare/providers/fakes/dofake"
)

func TestScopes(t *testing.T) {
	for _, tt := range []struct {
		scope                string // the only one
		list, post, put, del int
	}{
		{"firewall:read", 200, 403, 403, 403},
		{"firewall:update", 403, 204, 403, 403},
		{"firewall:delete", 403, 403, 403, 204},
		{"droplet:read", 403, 403, 403, 403},
	} {
		l := newLab(t, dofake.Options{Tokens: map[string][]string{dofake.DefaultToken: {tt.scope}}})
		l.want(tt.list, "", "GET", "firewalls", "")
		l.want(tt.post, "", "POST", "firewalls/ID/rules", inbound(trap))
		l.want(tt.put, "", "PUT", "firewalls/ID", `{"name":"web","inbound_rules":[`+trap+`]}`)
		l.want(tt.del, "", "DELETE", "firewalls/ID", "")
	}
	l := newLab(t, dofake.Options{})
	l.token = "dop_v1_another"
	l.want(401, "Unable to authenticate you.", "GET", "firewalls", "")
	l.token = dofake.DefaultToken
	l.want(404, "could not be found", "GET", "images", "", "X-Unjudged", "1")
}

// A token does not see what it may not read, and nobody tells it so.
func TestUnseen(t *testing.T) {
	for scope, want := range map[string]string{
		"droplet:read": `"droplet_ids":[103]`,
		"tag:read":     `"tags":["web"]`,
	} {
		with := newLab(t, dofake.Options{Tokens: map[string][]string{dofake.DefaultToken: {"firewall:read", scope}}})
		without := newLab(t, dofake.Options{Tokens: map[string][]string{dofake.DefaultToken: {"firewall:read"}}})
		if !strings.Contains(with.shown(), want) || strings.Contains(without.shown(), want) {
			t.Errorf("%s shows %s, without it %s", scope, with.shown(), without.shown())
		}
	}
}

func TestRates(t *testing.T) {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	now := noon
	l := newLab(t, dofake.Options{Now: func() time.Time { return now }})
	count := func(n int) {
		t.Helper()
		for range n {
			l.want(200, "", "GET", "firewalls/ID", "")
		}
	}
	count(100)
	now = now.Add(20 * time.Second)
	count(150)
	refused := l.want(429, "API rate limit exceeded.", "GET", "firewalls/ID", "")
	if got := refused.header.Get("Retry-After"); got != "41" {
		t.Errorf("Retry-After %q, want 41", got)
	}
	now = now.Add(41 * time.Second)
	count(100)
	l.want(429, "", "GET", "firewalls/ID", "")

	for minute := range 19 { // 350 are counted, 18 minutes of 250 and one of 150 make 5000
		now = now.Add(61 * time.Second)
		count(min(250, 4650-250*minute))
	}
	now = now.Add(61 * time.Second)
	refused = l.want(429, "API rate limit exceeded.", "GET", "firewalls/ID", "")
	for name, want := range map[string]string{"limit": "5000", "remaining": "0", "reset": fmt.Sprint(noon.Add(time.Hour).Unix())} {
		if got := refused.header.Get("ratelimit-" + name); got != want {
			t.Errorf("ratelimit-%s %q, want %q", name, got, want)
		}
	}
	if got := refused.header.Get("Retry-After"); got != "" {
		t.Errorf("Retry-After %q where an hour's calls are used up", got)
	}
}

func TestPending(t *testing.T) {
	l := newLab(t, dofake.Options{Pending: 2})
	const waiting = `"pending_changes":[{"droplet_id":101,"removing":false,"status":"waiting"},{"droplet_id":102,"removing":false,"status":"waiting"},` +
		`{"droplet_id":103,"removing":false,"status":"waiting"}],"status":"waiting"`
	const done = `"pending_changes":[],"status":"succeeded"`
	for i, want := range []string{waiting, waiting, done, done} {
		if got := l.shown(); !strings.Contains(got, want) {
			t.Errorf("read %d: %s, want %s in it", i, got, want)
		}
	}
	l.want(204, "", "POST", "firewalls/ID/rules", inbound(trap))
	if got := l.shown(); !strings.Contains(got, waiting) || !strings.Contains(got, trapped) {
		t.Errorf("after a change: %s", got)
	}
}

func TestFreeze(t *testing.T) {
	l := newLab(t, dofake.Options{})
	before := l.shown()
	l.Freeze(2)
	l.want(204, "", "POST", "firewalls/ID/rules", inbound(trap))
	for i, want := range []bool{true, true, false} {
		if got := l.shown() == before; got != want {
			t.Errorf("read %d shows the past: %v, want %v", i, got, want)
		}
	}
	l.Freeze(0)
	l.want(204, "", "DELETE", "firewalls/ID/rules", inbound(trap))
	for range 9 {
		if l.shown() == before {
			t.Error("the freeze ended by itself")
		}
	}
	l.Thaw()
	if l.shown() != before {
		t.Error("the thaw changed nothing")
	}
}

// Before, nothing is done; after, it is and nobody learns of it.
func TestHooks(t *testing.T) {
	for _, tt := range []struct {
		name   string
		hook   dofake.Hook
		status int // 0 for none
		kind   string
		made   bool
	}{
		{"lost request", dofake.First(1, dofake.Before, "POST", dofake.Drop), 0, "", false},
		{"lost reply", dofake.First(1, dofake.After, "POST", dofake.Drop), 0, "", true},
		{"too many", dofake.First(1, dofake.Before, "", dofake.TooManyRequests(0)), 429, "application/json; charset=utf-8", false},
		{"server error", dofake.First(1, dofake.After, "POST", dofake.ServerError), 500, "application/json; charset=utf-8", true},
		{"bad gateway", dofake.First(1, dofake.Before, "POST", dofake.BadGateway), 502, "text/html", false},
		{"odd answer", dofake.First(1, dofake.After, "POST", dofake.OddAnswer), 200, "text/html", true},
		{"another method", dofake.First(1, dofake.Before, "PUT", dofake.ServerError), 204, "", true},
		{"none", nil, 204, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, dofake.Options{})
			l.Intercept(tt.hook)
			r, err := http.NewRequestWithContext(t.Context(), "POST", l.url+"/v2/firewalls/"+l.id+"/rules", strings.NewReader(inbound(trap)))
			noError(t, err)
			r.Header.Set("Authorization", "Bearer "+l.token)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Unjudged", "1")
			reply, err := http.DefaultTransport.RoundTrip(r)
			switch {
			case tt.status == 0 && !errors.Is(err, io.EOF):
				t.Errorf("error %v, want %v", err, io.EOF)
			case tt.status != 0 && (err != nil || reply.StatusCode != tt.status || reply.Header.Get("Content-Type") != tt.kind):
				t.Errorf("reply %v, error %v; want %d of %q", reply, err, tt.status, tt.kind)
			}
			if made := len(l.Firewall(l.id).Inbound) == 2; made != tt.made {
				t.Errorf("made %v, want %v", made, tt.made)
			}
			if calls := l.Calls(); len(calls) != 1 || !calls[0].Writes() || calls[0].Body != inbound(trap) || calls[0].Token != l.token {
				t.Errorf("calls %+v", calls)
			}
		})
	}
	if got := dofake.TooManyRequests(3 * time.Second).(*dofake.Error).Error(); got != "too_many_requests: API rate limit exceeded." {
		t.Errorf("error %q", got)
	}
}

// A hook may hold a call until its client has gone.
func TestHang(t *testing.T) {
	l := newLab(t, dofake.Options{})
	gone := make(chan struct{})
	l.Intercept(func(ctx context.Context, _ dofake.Stage, _ dofake.Call) http.Handler {
		<-ctx.Done()
		close(gone)
		return dofake.Drop
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", l.url+"/v2/firewalls", nil)
	noError(t, err)
	r.Header.Set("X-Unjudged", "1")
	if _, err := http.DefaultTransport.RoundTrip(r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
	}
	<-gone
}
