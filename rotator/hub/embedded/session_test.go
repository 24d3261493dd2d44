package embedded

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// endless is a peer that sends one thing for ever.
type endless []byte

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(e) <= len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

type counter struct{ bytes, lines int }

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += len(p)
	c.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

// A host that sends as fast as it can is slowed down, whatever it sends.
func TestHostsArePaced(t *testing.T) {
	const minutes = 10
	for name, sends := range map[string]endless{
		"small messages": endless("PUB portsnare.report.web-1 2\r\n{}\r\n"),
		"large messages": endless("PUB portsnare.report.web-1 1000\r\n" + string(bytes.Repeat([]byte("x"), 1000)) + "\r\n"),
		"no messages":    endless("xxxxxxxxxxxxxxxx"),
		"empty lines":    endless("\r\n"),
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), minutes*time.Minute)
			defer cancel()
			var got counter
			heard := 0
			err := carry(ctx, &got, sends, func() { heard++ }, hostLimits)
			if err == nil || heard == 0 {
				t.Errorf("%s: %v, heard %d times", name, err, heard)
			}
			if limit := bytesBurst + minutes*60*bytesPerSecond + bufferSize; got.bytes > limit {
				t.Errorf("%s: %d bytes in %d minutes; want %d at most", name, got.bytes, minutes, limit)
			}
			if limit := linesBurst + minutes*60*linesPerSecond + bufferSize; got.lines > limit {
				t.Errorf("%s: %d lines in %d minutes; want %d at most", name, got.lines, minutes, limit)
			}
		})
	}
}

func TestOperatorIsNotPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var got counter
		err := carry(t.Context(), &got, io.LimitReader(endless("\r\n"), 10<<20), func() {}, unlimited)
		if !errors.Is(err, io.EOF) || got.bytes != 10<<20 || time.Since(begin) != 0 {
			t.Errorf("%v after %s, %d bytes", err, time.Since(begin), got.bytes)
		}
	})
}
