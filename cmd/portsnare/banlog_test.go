package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portsnare/portsnare"
)

// A storm of 50,000 bans on one host is a few hundred lines, in which every ban is
// named or counted, and another host's ban has its line. Then the log is quiet.
func TestBanLogInAStorm(t *testing.T) {
	const bans, each = 50_000, 500 // a second
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		l := newBanLog(slog.New(slog.NewTextHandler(&text, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.run(ctx) }()
		ban := func(host string, n int) {
			source := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}), 32)
			l.ban(portsnare.Ban{Host: host, Source: source, Until: time.Now().Add(time.Hour)})
		}
		for n := range bans {
			ban("web-1", n)
			if n%each == each-1 {
				time.Sleep(time.Second)
			}
			if n == bans/2 {
				ban("web-2", n)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		log := text.String()
		lines := strings.Count(log, "\n")
		t.Logf("%d bans in %d s: %d lines", bans, bans/each, lines)
		if got := linesOf(log, "host=web-1") + counted(log); got != bans {
			t.Errorf("%d bans are named or counted; want %d", got, bans)
		}
		if got := linesOf(log, "host=web-2"); got != 1 {
			t.Errorf("%d lines name the other host; want 1", got)
		}
		if limit := banLineBurst + bans/each + 1 + bans/each/5 + 1 + 1; lines > limit {
			t.Errorf("%d lines; want %d at most", lines, limit)
		}
		if len(l.each) != 0 {
			t.Errorf("%d hosts are remembered after a quiet minute", len(l.each))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := strings.Count(text.String(), "\n"); got != lines {
			t.Errorf("%d lines in a quiet hour", got-lines)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A storm on every host of a fleet at once is bounded too, and what is left at the
// end is counted.
func TestBanLogOfAFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		l := newBanLog(slog.New(slog.NewTextHandler(&text, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.run(ctx) }()
		for n := range 1000 {
			l.ban(portsnare.Ban{Host: fmt.Sprint("web-", n)})
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		named := linesOf(text.String(), "host=")
		if named != banLineHosts*banLineBurst || named+counted(text.String()) != 1000 {
			t.Errorf("%d bans are named and %d counted; want %d, and all 1000", named, counted(text.String()), banLineHosts*banLineBurst)
		}
	})
}

func linesOf(log, word string) (n int) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, " "+word) {
			n++
		}
	}
	return n
}

// counted returns how many bans the lines count that name none.
func counted(log string) (bans int) {
	for _, match := range regexp.MustCompile(` bans=(\d+)`).FindAllStringSubmatch(log, -1) {
		n, err := strconv.Atoi(match[1])
		if err != nil {
			panic(err)
		}
		bans += n
	}
	return bans
}
