package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/portsnare/portsnare"
)

// Messages and keys of the log.
const (
	msgServer   = "message server"
	msgRebuilt  = "a damaged file was rebuilt"
	msgUnsaved  = "cannot write a file; going on without it"
	msgRefused  = "connection refused"
	msgDouble   = "a second machine uses the credential of a host"
	msgDiskFull = "cannot write to the state directory"
	msgDiskFine = "the state directory is writable again, the store was reopened"
	msgChanged  = "files of the store were changed since the controller stopped; what is damaged is rebuilt from copies"
	msgSetAside = "a changed part of the store was set aside and is made anew"
	msgOldHosts = "hosts joined with a token of the first version are let in without a certificate; while there are any, the port shows a certificate to everybody"

	keyText  = "text"
	keyFile  = "file"
	keyFiles = "files"
	keyFrom  = "from"
	keyPeer  = "peer"
	keyHost  = "host"
	keyHosts = "hosts"
	keyHint  = "hint"
	keyError = "error"
)

// serverLog passes the server's log on. Its errors and warnings are about the
// store, and warnings of ours, save those about a connection. The last fatal line
// is kept, since the server tells the cause of a failed start nowhere else.
type serverLog struct {
	log    *slog.Logger
	fatal  atomic.Pointer[string]
	broken atomic.Bool // a stream could not be written to, and takes nothing more
}

// writeError is what the server says then (nats-server 2.15, filestore.go).
const writeError = "Critical write error"

func (l *serverLog) failure(otherwise string) error {
	if text := l.fatal.Load(); text != nil {
		return errors.New(*text)
	}
	return errors.New(otherwise)
}

func (l *serverLog) debug(format string, v []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(msgServer, keyText, portsnare.Plain(fmt.Sprintf(format, v...)))
	}
}

func (l *serverLog) warn(format string, v []any) {
	text := fmt.Sprintf(format, v...)
	if strings.Contains(text, "cid:") {
		l.debug("%s", []any{text})
		return
	}
	if strings.Contains(text, writeError) {
		l.broken.Store(true)
	}
	l.log.Warn(msgServer, keyText, portsnare.Plain(text))
}

func (l *serverLog) Noticef(format string, v ...any) { l.debug(format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.warn(format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.warn(format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.debug(format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.debug(format, v) }

func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.Store(&text)
	l.debug(format, v)
}
