package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/portsnare/portsnare"
)

// Silence is after how long without a report a host counts as missing: three
// times what agents wait at most between two.
const Silence = 15 * time.Second

const (
	// doubtTime is how long a refused second connection keeps its host in doubt.
	// A machine that was cloned tries again within 15 s.
	doubtTime = 40 * time.Second
	// storeEvery bounds how often the report of one host is stored.
	storeEvery = 10 * time.Second
)

// presence is what is known of one host.
type presence struct {
	report portsnare.Report // At is when the hub heard it
	known  bool             // there is a report
	live   bool             // it was heard by this hub, not read from disk
	fault  string           // why the host's last report was not taken
	second string           // address of another machine with the same credential

	stored   portsnare.Report // as it stands on disk
	storedAt time.Time
}

// roster holds the newest report of every host and wakes those who wait for one.
type roster struct {
	doubles *doubles

	mu      sync.Mutex
	hosts   map[string]presence
	changed map[string]chan struct{} // closed with the next report of the host
}

func newRoster() *roster {
	return &roster{hosts: make(map[string]presence), changed: make(map[string]chan struct{}), doubles: &doubles{}}
}

// get returns what is known of host, and what is closed when that changes.
func (r *roster) get(host string, now time.Time) (presence, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed[host] == nil {
		r.changed[host] = make(chan struct{})
	}
	p := r.hosts[host]
	p.second = r.doubles.of(host, now)
	return p, r.changed[host]
}

// update changes what is known of host, and wakes who waits for that.
func (r *roster) update(host string, change func(*presence)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.hosts[host]
	change(&p)
	r.hosts[host] = p
	if changed := r.changed[host]; changed != nil {
		close(changed)
		delete(r.changed, host)
	}
}

func (r *roster) forget(host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.hosts, host)
}

// doubles remembers who was refused because a host's connection is alive.
type doubles struct {
	mu   sync.Mutex
	last map[string]double // by host
}

type double struct {
	addr string
	at   time.Time
}

func (d *doubles) note(host, addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil {
		d.last = make(map[string]double)
	}
	d.last[host] = double{addr, time.Now()}
}

// clear forgets who was refused and is let in now: the host itself, which came
// back before its old connection had died.
func (d *doubles) clear(host, addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last[host].addr == addr {
		delete(d.last, host)
	}
}

// of returns the address of the second machine, or "".
func (d *doubles) of(host string, now time.Time) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if last := d.last[host]; now.Sub(last.at) < doubtTime {
		return last.addr
	}
	return ""
}

// problem returns what is wrong with the host, the weightier first: another
// machine with its credential, a report that makes no sense, what it says itself.
func (p presence) problem() string {
	switch {
	case p.second != "":
		return "a second machine at " + p.second + " uses this host's credential"
	case p.fault != "":
		return p.fault
	}
	return p.report.Problem
}

// Report returns the newest report of a host, from before a restart too. Its At
// is when the hub heard it, by the hub's clock. Its Problem may be what the hub
// has noticed.
func (h *Hub) Report(host string) (portsnare.Report, bool) {
	p, _ := h.roster.get(host, time.Now())
	p.report.Problem = p.problem()
	return p.report, p.known
}

// Await returns when the newest report of the order's host says that its traps
// are armed. A report that is older than [Silence] or from before a restart of
// the hub does not count, nor does one of a host whose credential a second
// machine uses. When ctx ends first the error, of kind Transient, says what is
// known of the host.
func (h *Hub) Await(ctx context.Context, order portsnare.Order) error {
	for {
		now := time.Now()
		p, changed := h.roster.get(order.Host, now)
		if p.live && p.second == "" && p.fault == "" && now.Sub(p.report.At) < Silence && p.report.Watches(order) {
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
	one, enrolled := h.guests.get(host)
	e := &portsnare.Error{Kind: portsnare.Transient, Op: "wait for", Subject: host}
	switch {
	case !enrolled:
		e.Err = errors.New("it is not enrolled")
		e.Hint = "portsnare enroll " + host
	case one.Key == "" && now.After(one.Until):
		e.Err = errors.New("its token has expired")
		e.Hint = "portsnare enroll --renew " + host
	case one.Key == "":
		e.Err = errors.New("it has not joined")
		e.Hint = "join it with the token that it was enrolled with: portsnare-agent join TOKEN"
	case p.second != "":
		e.Err = errors.New(p.problem())
		e.Hint = "portsnare enroll --renew " + host + ", then join the right machine, and each clone under a name of its own"
	case p.fault != "":
		e.Err = errors.New(p.fault)
		e.Hint = "look on " + host + ": journalctl -u portsnare-agent"
	case !p.known:
		e.Err = errors.New("it has never reported")
		e.Hint = "look on " + host + ": systemctl status portsnare-agent"
	case now.Sub(p.report.At) >= Silence || !p.live:
		e.Err = fmt.Errorf("no report since %s", p.report.At.UTC().Format(time.RFC3339))
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
	err := h.readWhatThereIs(ctx, h.stores.reports, func(msg jetstream.Msg) {
		meta, err := msg.Metadata()
		if err != nil {
			return // not a message of JetStream
		}
		host := hostOf(msg.Subject())
		if report, err := parseReport(msg.Data(), host, meta.Timestamp); err == nil {
			h.roster.update(host, func(p *presence) { p.report, p.known, p.stored = report, true, report })
		}
	})
	if err != nil {
		return err
	}
	// What hosts of the first version wrote themselves was read above.
	return h.stores.reports.Purge(ctx, jetstream.WithPurgeSubject(portsnare.ReportSubject("*")))
}

func (h *Hub) hearReport(msg *nats.Msg) {
	host, now := hostOf(msg.Subject), time.Now()
	if _, enrolled := h.guests.get(host); !enrolled {
		return
	}
	report, err := parseReport(msg.Data, host, now)
	if err != nil {
		h.refuse(host, "report", err)
		return
	}
	skew := clockSkew(msg.Data, now)
	var store bool
	h.roster.update(host, func(p *presence) {
		p.report, p.known, p.live, p.fault = report, true, true, ""
		if store = p.due(report, now); store {
			p.stored, p.storedAt = report, now
		}
	})
	if store {
		h.storeReport(report)
	}
	h.compare(report, skew, now)
}

// refuse notes that a host said something that makes no sense.
func (h *Hub) refuse(host, what string, err error) {
	fault := portsnare.Plain("its " + what + " makes no sense: " + err.Error())
	h.log.Debug(msgIgnored, keyHost, host, keyError, fault)
	if what == "report" {
		h.roster.update(host, func(p *presence) { p.fault = fault })
	}
}

// due reports whether the report says something else than what is stored, and
// that it is time to store it.
func (p presence) due(report portsnare.Report, now time.Time) bool {
	return now.Sub(p.storedAt) >= storeEvery && !reflect.DeepEqual(lasting(report), lasting(p.stored))
}

// lasting is the report without what changes all the time.
func lasting(r portsnare.Report) portsnare.Report {
	r.At, r.Bans, r.BanNumber, r.Repairs = time.Time{}, 0, 0, 0
	return r
}

// storeReport stores it behind: what is lost by a kill the host reports again.
func (h *Hub) storeReport(report portsnare.Report) {
	text, err := json.Marshal(report)
	if err == nil {
		err = h.nc.Publish(keptReport+report.Host, text)
	}
	if err != nil {
		h.log.Debug(msgNotStored, keyHost, report.Host, keyError, err)
	}
}

// hostOf returns the host that a subject names.
func hostOf(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }
