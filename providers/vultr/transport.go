package vultr

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
)

// An exchange is what went over the wire in one call. govultr keeps it to
// itself: an error of its has no status, and no cause.
type exchange struct {
	status     int           // of the answer, 0 if there is none
	message    string        // the error that the answer tells, if it does
	retryAfter time.Duration // that the answer asks for, or 0
	err        error         // why there is no answer
}

type exchangeKey struct{}

// watched returns a context for one call, and where it will be told.
func watched(ctx context.Context) (context.Context, *exchange) {
	x := new(exchange)
	return context.WithValue(ctx, exchangeKey{}, x), x
}

// transport tells of answers.
type transport struct{ next http.RoundTripper }

// RoundTrip sends a request, once.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.next.RoundTrip(r)
	if err == nil {
		err = mend(answer)
	}
	x, ok := r.Context().Value(exchangeKey{}).(*exchange)
	if ok && err != nil {
		x.err = err
	}
	if err != nil {
		return nil, err
	}
	if ok {
		x.read(answer)
	}
	return answer, nil
}

// mend reads the answer whole, so that one that breaks off is an error here, and
// takes the parameters off its type: to govultr, JSON with a charset is an empty
// answer and no error.
func mend(answer *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if closeErr := answer.Body.Close(); err == nil {
		err = closeErr
	}
	answer.Body = buffer{bytes.NewReader(body)}
	if plain, _, typeErr := mime.ParseMediaType(answer.Header.Get("Content-Type")); typeErr == nil {
		answer.Header.Set("Content-Type", plain)
	}
	return err
}

// maxAnswer is far more than 500 rules take, in bytes.
const maxAnswer = 4 << 20

// buffer is a body that can be read again.
type buffer struct{ *bytes.Reader }

func (buffer) Close() error { return nil }

func (x *exchange) read(answer *http.Response) {
	x.status = answer.StatusCode
	if seconds, err := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 16); err == nil {
		x.retryAfter = time.Duration(seconds) * time.Second
	}
	var told struct {
		Error string `json:"error"`
	}
	if body, ok := answer.Body.(buffer); ok {
		if json.NewDecoder(body).Decode(&told) == nil {
			x.message = told.Error
		}
		_, _ = body.Seek(0, io.SeekStart) // cannot fail
	}
}
