package hostagent

import (
	"container/list"
	"slices"
	"time"

	"github.com/portsnare/portsnare"
)

// Bounds of what is remembered to explain a ban.
const (
	maxTrails = 4096
	trailLen  = portsnare.MaxStrikes
)

// trails are the last hits of the sources seen last, one for each port.
type trails struct {
	bySource map[source]*list.Element
	fresh    *list.List // of *trail, the one seen last in front
}

type trail struct {
	source source
	hits   []portsnare.Hit // oldest first
}

func newTrails() *trails {
	return &trails{bySource: make(map[source]*list.Element), fresh: list.New()}
}

// add remembers a hit. A later hit on the same port takes the place of the
// earlier: a strike is a distinct trap.
func (t *trails) add(s source, hit portsnare.Hit) {
	e := t.bySource[s]
	if e == nil {
		e = t.fresh.PushFront(&trail{source: s})
		t.bySource[s] = e
		t.forget()
	}
	t.fresh.MoveToFront(e)
	tr := e.Value.(*trail)
	tr.hits = slices.DeleteFunc(tr.hits, func(h portsnare.Hit) bool { return h.Port == hit.Port })
	tr.hits = append(tr.hits, hit)
	tr.hits = tr.hits[max(0, len(tr.hits)-trailLen):]
}

// forget drops the source that was not seen for the longest time.
func (t *trails) forget() {
	if t.fresh.Len() > maxTrails {
		oldest := t.fresh.Remove(t.fresh.Back()).(*trail)
		delete(t.bySource, oldest.source)
	}
}

// since returns the last hits of a source, n at most, none from before a time,
// oldest first.
func (t *trails) since(s source, from time.Time, n int) []portsnare.Hit {
	e := t.bySource[s]
	if e == nil {
		return nil
	}
	hits := e.Value.(*trail).hits
	hits = hits[max(0, len(hits)-n):]
	return slices.DeleteFunc(slices.Clone(hits), func(h portsnare.Hit) bool { return h.At.Before(from) })
}
