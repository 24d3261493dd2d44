package hostagent

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portsnare/portsnare"
)

// describe returns the report of this moment.
func (a *Agent) describe() portsnare.Report {
	report := portsnare.Report{
		Host:      a.config.Host,
		At:        a.clock.out(a.clock.now()),
		Version:   a.config.Version,
		Backend:   a.config.Program,
		Armed:     a.armed(),
		Problem:   a.problem(),
		Listening: a.listening,
		Bans:      len(a.ledger.active),
		Repairs:   a.repairs,
		Full:      a.full,
	}
	if report.Armed != "" {
		report.Generation, report.ArmedTraps = a.order.Generation, a.order.TrapsSerial
	}
	return report
}

func (a *Agent) report() {
	a.told = a.describe()
	a.config.Link.Report(a.told)
}

// news reports whether something has changed that cannot wait.
func (a *Agent) news() bool {
	now := a.describe()
	return now.Armed != a.told.Armed || now.Problem != a.told.Problem || now.Repairs != a.told.Repairs ||
		!now.Listening.Equal(a.told.Listening)
}

// trouble is something that does not work now.
type trouble struct {
	text   string    // for the report
	logged time.Time // in the own time
}

// logAgain is how soon a failure that lasts is logged again, when its text changes.
const logAgain = time.Minute

// trouble notes for the report that something does not work, or with a nil
// error that it does again. It is logged once, however often it is tried.
func (a *Agent) trouble(message string, err error) {
	if err == nil {
		delete(a.troubles, message)
		return
	}
	hint := portsnare.HintOf(err)
	now := trouble{message + ": " + strings.ReplaceAll(err.Error(), "\n", "; "), a.clock.now()}
	if hint != "" {
		now.text += " (" + hint + ")"
	}
	before, lasts := a.troubles[message]
	if lasts && (before.text == now.text || now.logged.Sub(before.logged) < logAgain) {
		now.logged = before.logged
	} else {
		a.config.Logger.Error(message, keyError, err, keyHint, hint)
	}
	a.troubles[message] = now
}

// problem returns all troubles in one line.
func (a *Agent) problem() string {
	var texts []string
	for _, message := range slices.Sorted(maps.Keys(a.troubles)) {
		texts = append(texts, a.troubles[message].text)
	}
	return strings.Join(texts, "; ")
}

func (a *Agent) listen() {
	ports, err := a.config.Listening()
	if a.trouble(msgNoListening, err); err == nil {
		a.listening = ports
	}
}

// measure asks which memories of the kernel are full, and logs each once.
func (a *Agent) measure(ctx context.Context) {
	full, err := a.config.Backend.Full(ctx)
	if a.trouble(msgNotMeasured, err); err != nil {
		return
	}
	for _, memory := range full {
		if !slices.Contains(a.full, memory) {
			a.config.Logger.Warn(msgFull, keyMemory, memory)
		}
	}
	a.full = full
}
