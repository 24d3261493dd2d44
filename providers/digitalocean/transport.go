package digitalocean

import "net/http"

// transport signs requests with the token.
type transport struct {
	next  http.RoundTripper
	token string
}

func newTransport(o Options) transport {
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	return transport{o.Transport, o.Token}
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+t.token)
	return t.next.RoundTrip(r)
}

// noRedirect keeps the token from going wherever an answer points.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
