package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
)

// How many bans are logged with a line each: of one host the first 20 and one more
// each second, as its agent does, and of all hosts together ten times as many, so
// that a storm on one host hides no other. The rest are counted, every banLogEvery.
const (
	banLineBurst = 20
	banLineHosts = 10
	banLogEvery  = 5 * time.Second
)

// banLog logs the bans that hosts report.
type banLog struct {
	log *slog.Logger

	mu       sync.Mutex
	all      *rate.Limiter
	each     map[string]*rate.Limiter // by host
	unlogged map[string]int           // bans without a line, by host
}

func newBanLog(log *slog.Logger) *banLog {
	return &banLog{
		log: log, all: rate.NewLimiter(banLineHosts, banLineHosts*banLineBurst),
		each: map[string]*rate.Limiter{}, unlogged: map[string]int{},
	}
}

// ban logs a ban, unless there are too many to log each.
func (l *banLog) ban(b portsnare.Ban) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.each[b.Host] == nil {
		l.each[b.Host] = rate.NewLimiter(1, banLineBurst)
	}
	if !l.each[b.Host].Allow() || !l.all.Allow() {
		l.unlogged[b.Host]++
		return
	}
	l.log.Info("banned", "host", b.Host, "source", b.Source, "until", b.Until)
}

// run counts the bans without a line of their own until ctx ends.
func (l *banLog) run(ctx context.Context) error {
	defer l.count()
	tick := time.NewTicker(banLogEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.count()
		case <-ctx.Done():
			return nil
		}
	}
}

// count logs how many bans had no line of their own, and forgets the hosts that are
// quiet.
func (l *banLog) count() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.unlogged) > 0 {
		bans := 0
		for _, n := range l.unlogged {
			bans += n
		}
		l.log.Info("more banned, `portsnare bans` lists all", "bans", bans, "hosts", len(l.unlogged))
		clear(l.unlogged)
	}
	for host, lines := range l.each {
		if lines.Tokens() >= banLineBurst {
			delete(l.each, host)
		}
	}
}
