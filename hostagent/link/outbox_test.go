package link

import (
	"slices"
	"testing"

	"github.com/portsnare/portsnare"
)

func newTestLink() *Link { return &Link{out: newOutbox(), token: portsnare.Token{Host: "web-1"}} }

func hit(n int) portsnare.Hit { return portsnare.Hit{Generation: portsnare.Generation(n)} }

func generations(hits []portsnare.Hit) []int {
	var list []int
	for _, h := range hits {
		list = append(list, int(h.Generation))
	}
	return list
}

func TestOfflineOutboxIsBounded(t *testing.T) {
	l := newTestLink()
	for n := range mostQueued + 3 {
		l.Hit(hit(n))
		l.Ban(portsnare.Ban{Count: n})
	}
	l.Ban(portsnare.Ban{Count: mostQueued + 3})
	b := l.out.take()
	if len(b.hits) != mostQueued || len(b.bans) != mostQueued || b.dropped != 3+4 {
		t.Fatalf("%d hits, %d bans, %d dropped; want %d, %[4]d and 7", len(b.hits), len(b.bans), b.dropped, mostQueued)
	}
	if first, last := b.hits[0].Generation, b.hits[mostQueued-1].Generation; first != 3 || last != mostQueued+2 {
		t.Errorf("hits %s to %s; want the newest", first, last)
	}
	if b := l.out.take(); b.dropped != 0 {
		t.Errorf("%d dropped ones are told again", b.dropped)
	}
}

func TestWhatWasNotSentGoesFirst(t *testing.T) {
	l := newTestLink()
	l.Hit(hit(1))
	l.Hit(hit(2))
	failed := l.out.take()
	l.Hit(hit(3))
	l.out.putBack(failed)
	if got, want := generations(l.out.take().hits), []int{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("hits %v; want %v", got, want)
	}
}

func TestOnlyTheNewestReportCounts(t *testing.T) {
	l := newTestLink()
	l.Report(portsnare.Report{Armed: "a"})
	l.Report(portsnare.Report{Armed: "b"})
	if b := l.out.take(); b.report == nil || b.report.Armed != "b" {
		t.Errorf("report %+v; want b", b.report)
	}
	if b := l.out.take(); b.report != nil {
		t.Errorf("report %+v is told twice", b.report)
	}
	l.Report(portsnare.Report{Armed: "c"})
	if b := l.out.take(); b.report == nil || b.report.Armed != "c" {
		t.Errorf("report %+v; want c", b.report)
	}
}
