package openstack_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"

	"github.com/portsnare/portsnare/providers/providertest"
)

// A line carries calls to Neutron and says there who makes them, as Neutron's
// own middleware does. What happens on it can be disturbed.
type line struct {
	neutron  string
	identity http.Header
	group    string // path of the group

	mu       sync.Mutex
	calls    []string // method and path
	post     []byte   // the last body with that method
	troubles providertest.Troubles
	past     *answer // of the group, for so many lists
	lists    int
	instead  func(*http.Request) *answer // asked first, where it is set
}

// answer is what Neutron says to one call.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// instead of an answer of Neutron's.
var answers = map[providertest.Fault]answer{
	providertest.Throttled:    {429, http.Header{}, []byte("This request was rate-limited.")},
	providertest.ThrottledFor: {429, http.Header{"Retry-After": {fmt.Sprint(providertest.RetryAfterSeconds)}}, []byte("This request was rate-limited.")},
	providertest.ServerError:  {500, jsonHeader, neutronError("HTTPInternalServerError", "Request Failed: internal server error while processing your request.")},
	providertest.LateError:    {500, jsonHeader, neutronError("HTTPInternalServerError", "Request Failed: internal server error while processing your request.")},
	providertest.BadGateway:   {502, http.Header{"Content-Type": {"text/html"}}, []byte("<html><body><h1>502 Bad Gateway</h1></body></html>")},
	providertest.LateGateway:  {502, http.Header{"Content-Type": {"text/html"}}, []byte("<html><body><h1>502 Bad Gateway</h1></body></html>")},
}

var jsonHeader = http.Header{"Content-Type": {"application/json"}}

func neutronError(kind, message string) []byte {
	return fmt.Appendf(nil, `{"NeutronError": {"type": %q, "message": %q, "detail": ""}}`, kind, message)
}

func (l *line) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	a := l.answer(r, body)
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may be gone
}

// answer panics where there shall be none.
func (l *line) answer(r *http.Request, body []byte) answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, r.Method+" "+r.URL.Path)
	if r.Method == http.MethodPost {
		l.post = body
	}
	if l.instead != nil {
		if a := l.instead(r); a != nil {
			return *a
		}
	}
	sort := providertest.Write
	if r.Method == http.MethodGet {
		sort = providertest.Read
	}
	trouble := l.troubles.Next(sort)
	fault := trouble.Fault
	switch fault {
	case providertest.Refusal:
		return answer{http.StatusConflict, jsonHeader, neutronError("SecurityGroupRuleExists", trouble.Words)}
	case providertest.LostRequest:
		panic(http.ErrAbortHandler)
	case providertest.Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case providertest.Throttled, providertest.ThrottledFor, providertest.ServerError, providertest.BadGateway:
		return answers[fault]
	}
	a := l.carry(r.Method, r.URL.RequestURI(), body)
	switch fault {
	case providertest.Silence:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case providertest.LostReply:
		panic(http.ErrAbortHandler)
	case providertest.LateError, providertest.LateGateway:
		return answers[fault]
	case providertest.OddAnswer:
		a.header.Set("Content-Type", "text/plain")
	}
	if r.Method == http.MethodGet && r.URL.Path == l.group && l.lists > 0 {
		l.lists--
		return *l.past
	}
	return a
}

// carry makes the call. A Neutron that is not there is a lost request.
func (l *line) carry(method, uri string, body []byte) answer {
	request, err := http.NewRequest(method, l.neutron+uri, bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	request.Header = l.identity.Clone()
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer response.Body.Close() //nolint:errcheck // all of it was read
	said, err := io.ReadAll(response.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	response.Header.Del("Content-Length")
	return answer{response.StatusCode, response.Header, said}
}

func (l *line) Inject(trouble providertest.Trouble) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.troubles.Inject(trouble)
}

func (l *line) Freeze(lists int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.carry(http.MethodGet, l.group, nil)
	l.past, l.lists = &now, lists
}

func (l *line) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.troubles, l.lists, l.instead = nil, 0, nil
}

// speakAs changes who makes the calls.
func (l *line) speakAs(identity http.Header) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.identity = identity
}

// replace lets somebody else answer, where what he says is not nil.
func (l *line) replace(instead func(*http.Request) *answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.instead = instead
}

// posted returns what was last asked to be made.
func (l *line) posted() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.post
}

// made returns the calls from the nth on, reads too.
func (l *line) made(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.calls[n:]...)
}
