package dofake

import (
	"fmt"
	"net/http"
	"time"
)

// Rates of one token, sliding
// (https://docs.digitalocean.com/reference/api/digitalocean/#section/Introduction/Rate-Limit,
// as told by the OpenAPI file, read 2026-11-21).
const (
	perHour   = 5000
	perMinute = 250
)

// meter counts the requests of one token.
type meter struct {
	at []time.Time // of the last hour, oldest first
}

// admit counts a request, or refuses it.
func (m *meter) admit(now time.Time) error {
	for len(m.at) > 0 && now.Sub(m.at[0]) >= time.Hour {
		m.at = m.at[1:]
	}
	minute := 0 // index of the first request of the last minute
	for minute < len(m.at) && now.Sub(m.at[minute]) >= time.Minute {
		minute++
	}
	switch {
	case len(m.at)-minute >= perMinute:
		wait := time.Minute - now.Sub(m.at[minute])
		return &Error{Status: http.StatusTooManyRequests, ID: "too_many_requests", Message: "API rate limit exceeded.",
			RetryAfter: wait.Truncate(time.Second) + time.Second}
	case len(m.at) >= perHour: // there is no Retry-After then, only ratelimit-reset
		return &Error{Status: http.StatusTooManyRequests, ID: "too_many_requests", Message: "API rate limit exceeded."}
	}
	m.at = append(m.at, now)
	return nil
}

func (m *meter) tell(h http.Header, now time.Time) {
	oldest := now
	if len(m.at) > 0 {
		oldest = m.at[0]
	}
	h.Set("ratelimit-limit", fmt.Sprint(perHour))
	h.Set("ratelimit-remaining", fmt.Sprint(perHour-len(m.at)))
	h.Set("ratelimit-reset", fmt.Sprint(oldest.Add(time.Hour).Unix()))
	h.Set("Date", now.UTC().Format(http.TimeFormat))
}
