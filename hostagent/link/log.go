package link

import (
	"crypto/x509"
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/portsnare/portsnare"
)

// Messages and keys of the log.
const (
	msgConnected   = "connected to the controller"
	msgUnreachable = "cannot reach the controller, the present order stays in force"
	msgRefused     = "the controller refuses this host, the present order stays in force"
	msgOccupied    = "another machine is connected with this host's credential, so the controller refuses this one"
	msgUntrusted   = "this is not the controller that the host joined, the present order stays in force"
	msgIgnored     = "order ignored"
	msgDropped     = "hits and bans not told to the controller were dropped"
	msgAsync       = "connection"

	keyController = "controller"
	keyCount      = "count"
	keyError      = "error"
	keyHost       = "host"
	keyHint       = "hint"
)

// state is what the log last said of the connection.
type state int

const (
	fresh state = iota
	connected
	unreachable
	refused
	untrusted
)

// tell logs a change of state, once, and returns the state.
func (l *Link) tell(err error) state {
	now := classify(err)
	l.mu.Lock()
	before := l.state
	l.state = now
	l.mu.Unlock()
	if now == before {
		return now
	}
	log := l.log.With(keyController, l.token.URLs)
	switch now {
	case connected:
		log.Info(msgConnected)
	case refused:
		if occupied(err) {
			log.Error(msgOccupied, keyHint, "is this machine a clone? then give it a name of its own: `portsnare enroll NAME` there, then `portsnare-agent join TOKEN` here")
			return now
		}
		log.Error(msgRefused, keyHint, "if it should be let in: `portsnare enroll --renew "+l.token.Host+"` there, then `portsnare-agent join TOKEN` here")
	case untrusted:
		log.Error(msgUntrusted, keyError, err, keyHint, "if the controller was set up anew: `portsnare enroll "+l.token.Host+"` there, then `portsnare-agent join TOKEN` here")
	default:
		log.Warn(msgUnreachable, keyError, err)
	}
	return now
}

func classify(err error) state {
	var authority x509.UnknownAuthorityError
	switch {
	case err == nil:
		return connected
	case errors.Is(err, nats.ErrAuthorization), portsnare.RefusedByTLS(err), occupied(err):
		return refused
	case errors.As(err, &authority), portsnare.StrangeToTLS(err):
		return untrusted
	}
	return unreachable
}
