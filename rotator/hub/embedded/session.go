package embedded

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// What one host may send. Beyond it the host is slowed down.
const (
	// An agent paces itself below both. The bursts let an agent of the first
	// version through, which sends up to 2,000 queued hits and bans at once.
	bytesPerSecond = 256 << 10
	bytesBurst     = 2 << 20
	// A message has at least two lines, its head and its text: 20 messages a second
	// and the pings.
	linesPerSecond = 50
	linesBurst     = 4500

	bufferSize = 4 << 10
	maxLine    = 4 << 10 // of the greeting; the server's own bound, too
)

// session is one connection: the peer's TLS on one side, the server on the other.
type session struct {
	front     *front
	conn      *tls.Conn
	addr      string // of the peer
	certified string // public nkey of the peer's certificate; "" for none

	key  string // public nkey that the peer has proved to have
	user User

	inside net.Conn // to the server
	in     *bufio.Reader
	first  []byte       // the peer's CONNECT, checked and not yet handed on
	last   atomic.Int64 // when the peer's last byte came, in Unix nanoseconds
}

func (s *session) heard() time.Time { return time.Unix(0, s.last.Load()) }

// greet sends the server's greeting and reads the peer's answer, in which it
// proves who it is.
func (s *session) greet() (err error) {
	if s.inside, err = s.front.server.nats.InProcessConn(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.inside.Close()
		}
	}()
	s.inside.SetDeadline(time.Now().Add(handshakeTime))
	s.in = bufio.NewReaderSize(s.inside, bufferSize)
	line, err := s.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	greeting, nonce, err := rewrite(line)
	if err != nil {
		return err
	}
	if _, err := s.conn.Write(greeting); err != nil {
		return err
	}
	if err := s.check(nonce); err != nil {
		return err
	}
	s.last.Store(time.Now().UnixNano())
	return s.inside.SetDeadline(time.Time{})
}

// rewrite takes from the server's greeting what tells of the machine, and adds
// that there is TLS: the server knows nothing of it, and clients insist.
func rewrite(line []byte) (greeting []byte, nonce string, err error) {
	text, ok := bytes.CutPrefix(line, []byte("INFO "))
	if !ok {
		return nil, "", fmt.Errorf("the server begins with %q", line)
	}
	var info map[string]any
	if err := json.Unmarshal(text, &info); err != nil {
		return nil, "", err
	}
	kept := map[string]any{"tls_required": true, "tls_available": true}
	for _, name := range []string{"server_id", "version", "proto", "headers", "auth_required", "max_payload", "nonce", "client_id"} {
		if value, ok := info[name]; ok {
			kept[name] = value
		}
	}
	nonce, _ = info["nonce"].(string)
	text, err = json.Marshal(kept)
	return fmt.Appendf(nil, "INFO %s\r\n", text), nonce, err
}

// check reads the peer's CONNECT. Its key must be enrolled, and the one of the
// certificate where there has to be one.
func (s *session) check(nonce string) error {
	line, err := readLine(s.conn)
	if err != nil {
		return err
	}
	text, ok := bytes.CutPrefix(line, []byte("CONNECT "))
	var claim struct{ Nkey, Sig string }
	if !ok || json.Unmarshal(text, &claim) != nil || !signed(claim.Nkey, claim.Sig, []byte(nonce)) {
		s.refuse("Authorization Violation")
		return errors.New("it proves nothing")
	}
	user, ok := s.front.gate.get(claim.Nkey)
	if !ok || (!user.Old && claim.Nkey != s.certified) || (user.Old && s.certified != "") {
		s.refuse("Authorization Violation")
		return errNotEnrolled
	}
	s.key, s.user, s.first = claim.Nkey, user, line
	return nil
}

// readLine reads one line and nothing after it.
func readLine(from io.Reader) ([]byte, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) < maxLine {
		if _, err := io.ReadFull(from, one); err != nil {
			return nil, err
		}
		if line = append(line, one[0]); one[0] == '\n' {
			return line, nil
		}
	}
	return nil, errors.New("its first line has no end")
}

// refuse says why, in the words of NATS.
func (s *session) refuse(why string) {
	fmt.Fprintf(s.conn, "-ERR '%s'\r\n", why) //nolint:errcheck // it is let go anyway
	s.conn.CloseWrite()                       //nolint:errcheck // the same
}

func (s *session) end() { s.inside.Close() }

// run carries bytes both ways until one side ends.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var out sync.WaitGroup
	out.Go(func() {
		defer s.conn.NetConn().Close()
		s.in.WriteTo(writerOnly{s.conn}) //nolint:errcheck // either side has ended
		cancel()
	})
	err := s.carryIn(ctx)
	s.inside.Close()
	s.conn.SetWriteDeadline(time.Now().Add(handshakeTime)) //nolint:errcheck // a peer that does not read is not waited for
	out.Wait()
	return err
}

// writerOnly hides every method but Write, so that the buffer stays small.
type writerOnly struct{ io.Writer }

// carryIn hands on what the peer sends, as fast as it may.
func (s *session) carryIn(ctx context.Context) error {
	if _, err := s.inside.Write(s.first); err != nil {
		return err
	}
	s.first = nil
	heard := func() { s.last.Store(time.Now().UnixNano()) }
	if s.user.Host == "" {
		return carry(ctx, s.inside, s.conn, heard, unlimited)
	}
	return carry(ctx, s.inside, s.conn, heard, hostLimits)
}

// limits are what a peer may send.
type limits struct {
	bytes, lines           rate.Limit // a second
	bytesBurst, linesBurst int
}

var (
	hostLimits = limits{bytesPerSecond, linesPerSecond, bytesBurst, linesBurst}
	unlimited  = limits{bytes: rate.Inf, lines: rate.Inf}
)

// carry copies from one side to the other until one of them ends, at the pace that
// the limits allow. It holds no more than one small buffer: a peer that sends more
// is slowed down by TCP.
func carry(ctx context.Context, to io.Writer, from io.Reader, heard func(), l limits) error {
	bytesLeft, linesLeft := rate.NewLimiter(l.bytes, l.bytesBurst), rate.NewLimiter(l.lines, l.linesBurst)
	buffer := make([]byte, bufferSize)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			heard()
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		if err := errors.Join(bytesLeft.WaitN(ctx, n), linesLeft.WaitN(ctx, bytes.Count(buffer[:n], []byte("\n")))); err != nil {
			return err
		}
	}
}
