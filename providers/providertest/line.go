package providertest

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
)

// LineFaults are the faults that a [Line] can inject.
var LineFaults = []Fault{LostRequest, LostReply, Throttled, ThrottledFor, ServerError, LateError, BadGateway, LateGateway, OddAnswer, Hang}

// Line is what an HTTP client of a provider talks through where the other end
// cannot fail on demand, such as a real server. It counts writes and injects
// faults, so that it can be a Subject's Writes and Faults. A call other than
// GET is a write.
type Line struct {
	next http.RoundTripper

	mu       sync.Mutex // guards what follows
	writes   int
	troubles Troubles
	frozen   int               // lists left that show the past
	seen     map[string][]byte // the last good answer to each GET, by URL
}

// NewLine returns a line to whatever next reaches.
func NewLine(next http.RoundTripper) *Line {
	return &Line{next: next, seen: map[string][]byte{}}
}

// Writes returns how many writes were tried.
func (l *Line) Writes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writes
}

// Inject implements [Faults].
func (l *Line) Inject(t Trouble) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.troubles.Inject(t)
}

// Freeze implements [Faults]: the next reads show what the last one of the same
// URL showed.
func (l *Line) Freeze(lists int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = lists
}

// Clear implements [Faults].
func (l *Line) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.troubles, l.frozen = nil, 0
}

// RoundTrip implements [http.RoundTripper].
func (l *Line) RoundTrip(r *http.Request) (*http.Response, error) {
	fault, old := l.begin(r)
	if old != nil {
		return answer(r, http.StatusOK, "application/json", old), nil
	}
	switch fault {
	case "":
	case Hang:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case LostReply, LateError, LateGateway, OddAnswer:
		reply, err := l.send(r)
		if err != nil {
			return nil, err
		}
		if fault == OddAnswer {
			reply.Header.Set("Content-Type", "application/json; charset=utf-8")
			return reply, nil
		}
		_ = reply.Body.Close() // nobody will read it
		return failure(r, fault)
	default:
		return failure(r, fault)
	}
	return l.send(r)
}

// begin counts a call and says what is to become of it: a fault, or an old
// answer, or neither.
func (l *Line) begin(r *http.Request) (fault Fault, old []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	call := Write
	if r.Method == http.MethodGet {
		call = Read
	} else {
		l.writes++
	}
	if fault := l.troubles.Strike(call); fault != "" || call == Write || l.frozen == 0 {
		return fault, nil
	}
	l.frozen--
	return "", slices.Clone(l.seen[r.URL.String()])
}

// send passes a call on and remembers what a read showed.
func (l *Line) send(r *http.Request) (*http.Response, error) {
	reply, err := l.next.RoundTrip(r)
	if err != nil || r.Method != http.MethodGet || reply.StatusCode != http.StatusOK {
		return reply, err
	}
	body, err := io.ReadAll(reply.Body)
	_ = reply.Body.Close() // it was read to its end, or the error tells
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[r.URL.String()] = body
	reply.Body = io.NopCloser(bytes.NewReader(body))
	return reply, nil
}

func failure(r *http.Request, fault Fault) (*http.Response, error) {
	const page = "<html><head><title>502 Bad Gateway</title></head><body><hr><center>502 Bad Gateway</center></body></html>\n"
	switch fault {
	case Throttled, ThrottledFor:
		reply := answer(r, http.StatusTooManyRequests, "application/json", []byte(`{}`))
		if fault == ThrottledFor {
			reply.Header.Set("Retry-After", strconv.Itoa(RetryAfterSeconds))
		}
		return reply, nil
	case ServerError, LateError:
		return answer(r, http.StatusInternalServerError, "application/json", []byte(`{}`)), nil
	case BadGateway, LateGateway:
		return answer(r, http.StatusBadGateway, "text/html", []byte(page)), nil
	}
	return nil, syscall.ECONNRESET // a lost request, a lost reply
}

func answer(r *http.Request, status int, contentType string, body []byte) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {contentType}},
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       r,
	}
}

// Troubles is the list that a fake asks at each call.
type Troubles []*Trouble

// Inject adds a trouble.
func (t *Troubles) Inject(trouble Trouble) { *t = append(*t, &trouble) }

// Strike returns the fault that hits a call of this sort, or "".
func (t Troubles) Strike(call Call) Fault { return t.Next(call).Fault }

// Next returns the trouble that hits a call of this sort, or none.
func (t Troubles) Next(call Call) Trouble {
	for _, trouble := range t {
		switch {
		case trouble.Call != call || trouble.Times == 0:
		case trouble.Skip > 0:
			trouble.Skip--
		default:
			trouble.Times--
			return *trouble
		}
	}
	return Trouble{}
}
