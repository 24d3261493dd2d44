package providertest

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/portsnare/portsnare/providers/fakes/fakeapi"
)

// Fake is a fake of a cloud, with calls of sort C, that can be disturbed.
type Fake[C any] interface {
	Intercept(fakeapi.Hook[C])
	Freeze(lists int)
	Thaw()
}

// Answer is what a cloud does in a fault, and when.
type Answer struct {
	Stage fakeapi.Stage
	With  http.Handler
}

// silent are the answers where the cloud itself gives none. They are alike
// everywhere.
var silent = map[Fault]Answer{
	LostRequest: {fakeapi.Before, fakeapi.Drop},
	LostReply:   {fakeapi.After, fakeapi.Drop},
	BadGateway:  {fakeapi.Before, fakeapi.BadGateway},
	LateGateway: {fakeapi.After, fakeapi.BadGateway},
	Hang:        {fakeapi.Before, fakeapi.Silence},
	Silence:     {fakeapi.After, fakeapi.Silence},
}

// FaultsOf returns the faults that can be injected where answers are all those that
// a cloud gives.
func FaultsOf(answers map[Fault]Answer) []Fault {
	faults := append(slices.Collect(maps.Keys(answers)), Refusal)
	return slices.Sorted(slices.Values(slices.AppendSeq(faults, maps.Keys(silent))))
}

// Disturbance makes the calls of a fake fail. It is a Subject's Faults where one
// call is under way at a time.
type Disturbance[C any] struct {
	fake    Fake[C]
	answers map[Fault]Answer
	words   func(text string) http.Handler
	writes  func(C) bool

	mu       sync.Mutex // guards what follows
	troubles Troubles
	struck   Trouble // what hits the call that is under way
}

// Disturb returns a Disturbance that answers as the cloud does in each fault, with
// words for [Refusal]. What writes says is a write, all else a read.
func Disturb[C any](fake Fake[C], answers map[Fault]Answer, words func(text string) http.Handler, writes func(C) bool) *Disturbance[C] {
	d := &Disturbance[C]{fake: fake, answers: maps.Clone(silent), words: words, writes: writes}
	maps.Copy(d.answers, answers)
	fake.Intercept(d.strike)
	return d
}

// Inject implements [Faults].
func (d *Disturbance[C]) Inject(trouble Trouble) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.troubles.Inject(trouble)
}

// Freeze implements [Faults].
func (d *Disturbance[C]) Freeze(lists int) { d.fake.Freeze(lists) }

// Clear implements [Faults].
func (d *Disturbance[C]) Clear() {
	d.fake.Thaw()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.troubles = nil
}

// strike decides before a call which fault hits it, and lets the late ones hit
// after it.
func (d *Disturbance[C]) strike(_ context.Context, stage fakeapi.Stage, call C) http.Handler {
	d.mu.Lock()
	defer d.mu.Unlock()
	if stage == fakeapi.Before {
		sort := Read
		if d.writes(call) {
			sort = Write
		}
		d.struck = d.troubles.Next(sort)
	}
	if d.struck.Fault == Refusal && stage == fakeapi.Before {
		return d.words(d.struck.Words)
	}
	if a, ok := d.answers[d.struck.Fault]; ok && a.Stage == stage {
		return a.With
	}
	return nil
}
