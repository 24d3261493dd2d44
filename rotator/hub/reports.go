package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/portsnare/portsnare"
)

// silence is after how long without a report a host counts as silent: three
// heartbeats of an agent.
const silence = 90 * time.Second

// presence is what is known of one host.
type presence struct {
	report portsnare.Report // At is when the hub heard it
	known  bool             // there is a report
	live   bool             // it was heard by this hub, not read from disk
}

// roster holds the newest report of every host and wakes those who wait for one.
type roster struct {
	mu      sync.Mutex
	hosts   map[string]presence
	changed map[string]chan struct{} // closed with the next report of the host
}

func newRoster() *roster {
	return &roster{hosts: make(map[string]presence), changed: make(map[string]chan struct{})}
}

// get returns what is known of host, and what is closed when that changes.
func (r *roster) get(host string) (presence, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed[host] == nil {
		r.changed[host] = make(chan struct{})
	}
	return r.hosts[host], r.changed[host]
}

func (r *roster) set(report portsnare.Report, live bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hosts[report.Host] = presence{report: report, known: true, live: live}
	if changed := r.changed[report.Host]; changed != nil {
		close(changed)
		delete(r.changed, report.Host)
	}
}

func (r *roster) forget(host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.hosts, host)
}

// Report returns the newest report of a host, from before a restart too. Its At
// is when the hub heard it, by the hub's clock.
func (h *Hub) Report(host string) (portsnare.Report, bool) {
	p, _ := h.roster.get(host)
	return p.report, p.known
}

// Await returns when the newest report of the order's host says that its traps
// are armed. A report from before a restart of the hub does not count.
// When ctx ends first the error, of kind Transient, says what is known of the
// host.
func (h *Hub) Await(ctx context.Context, order portsnare.Order) error {
	for {
		p, changed := h.roster.get(order.Host)
		if p.live && p.report.Watches(order) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return h.missing(order.Host, p, time.Now())
		}
	}
}

// missing says why host has not armed what it should.
func (h *Hub) missing(host string, p presence, now time.Time) error {
	_, enrolled := h.guests.get(host)
	e := &portsnare.Error{Kind: portsnare.Transient, Op: "wait for", Subject: host}
	switch {
	case !enrolled:
		e.Err = errors.New("it is not enrolled")
		e.Hint = "portsnare enroll " + host
	case !p.known:
		e.Err = errors.New("it has never reported")
		e.Hint = "join it with the token that it was enrolled with, and look there: systemctl status portsnare-agent"
	case now.Sub(p.report.At) > silence || !p.live:
		e.Err = fmt.Errorf("it is silent since %s", p.report.At.UTC().Format(time.RFC3339))
		e.Hint = "look on " + host + ": systemctl status portsnare-agent"
	case p.report.Problem != "":
		e.Err = errors.New(p.report.Problem)
		e.Hint = "look on " + host + ": journalctl -u portsnare-agent"
	default:
		e.Err = fmt.Errorf("it still has generation %s", p.report.Generation)
	}
	return e
}

func (h *Hub) loadReports(ctx context.Context) error {
	return read(ctx, h.stores.reports, func(msg jetstream.Msg) {
		meta, err := msg.Metadata()
		if err != nil {
			return // not a message of JetStream
		}
		if report, ok := h.parseReport(msg.Subject(), msg.Data(), meta.Timestamp); ok {
			h.roster.set(report, false)
		}
	})
}

func (h *Hub) hearReport(msg *nats.Msg) {
	if report, ok := h.parseReport(msg.Subject, msg.Data, time.Now()); ok {
		h.roster.set(report, true)
	}
}

func (h *Hub) parseReport(subject string, data []byte, at time.Time) (portsnare.Report, bool) {
	report, ok := parse(h, subject, data, func(r portsnare.Report) string { return r.Host })
	report.At = at
	report.Problem, report.Version, report.Backend = plain(report.Problem), plain(report.Version), plain(report.Backend)
	return report, ok
}

// parse reads what a host said. One that speaks for another, or has been
// expelled meanwhile, is not heard.
func parse[T any](h *Hub, subject string, data []byte, hostOf func(T) string) (T, bool) {
	var value T
	err := json.Unmarshal(data, &value)
	host := subject[strings.LastIndexByte(subject, '.')+1:]
	if err == nil && hostOf(value) != host {
		err = fmt.Errorf("it names the host %q", hostOf(value))
	}
	if _, enrolled := h.guests.get(host); !enrolled {
		err = errNotEnrolled()
	}
	if err != nil {
		h.log.Debug(msgIgnored, keySubject, subject, keyError, err)
	}
	return value, err == nil
}

// plain makes text of a host fit for a terminal: one line without control
// characters, and not without end.
func plain(s string) string {
	const most = 500
	if len(s) > most {
		s = s[:most]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
