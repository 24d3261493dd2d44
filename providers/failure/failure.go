package failure

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/portsnare/portsnare"
)

// New returns an error of a provider. No port is left in the text of err, unless
// it is one that [Ownf] made; err may be nil.
func New(kind portsnare.Kind, op, subject string, err error, hint string) *portsnare.Error {
	if _, own := err.(*Cause); !own && err != nil { //nolint:errorlint // this very error: what it wraps is not in its text
		err = Say(err.Error(), err)
	}
	return &portsnare.Error{Kind: kind, Op: op, Subject: subject, Err: err, Hint: hint}
}

// Cause says in a few words what went wrong, and unwraps to what it stems from.
type Cause struct {
	text string
	err  error // may be nil
}

// Error returns the words.
func (c *Cause) Error() string { return c.text }

// Unwrap returns what the failure stems from.
func (c *Cause) Unwrap() error { return c.err }

// Say returns a cause in the words of somebody else, with the ports taken out.
// It unwraps to err, whose own text is never shown.
func Say(text string, err error) *Cause {
	return &Cause{redact(text, harmless(err)), err}
}

// Add returns the same cause with words of our own behind, such as a code.
func (c *Cause) Add(format string, args ...any) *Cause {
	return &Cause{c.text + fmt.Sprintf(format, args...), c.err}
}

// Ownf returns a cause in words of our own, which must name no port. An error
// among args is taken for somebody else's words; with %w it is unwrapped to.
func Ownf(format string, args ...any) *Cause {
	words := make([]any, len(args))
	var causes []error
	for i, arg := range args {
		words[i] = arg
		if err, ok := arg.(error); ok {
			causes = append(causes, err)
			words[i] = Say(err.Error(), err)
		}
	}
	return &Cause{fmt.Errorf(format, words...).Error(), errors.Join(causes...)}
}

// Own returns a cause in words of our own, which must name no port, for err.
func Own(text string, err error) *Cause { return &Cause{text, err} }

// Local returns err for what this machine says of itself, such as that a file is
// not there: it stays as it is.
func Local(err error) *Cause { return &Cause{err.Error(), err} }

// Network judges an error with which a request did not come to an answer:
// NotFound with hintName for a host that nobody knows, Invalid with hintProxy for
// a certificate that is not trusted, else Transient.
func Network(err error, hintName, hintProxy string) (kind portsnare.Kind, hint string) {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return portsnare.NotFound, hintName
	case errors.As(err, &cert):
		return portsnare.Invalid, hintProxy
	}
	return portsnare.Transient, ""
}
