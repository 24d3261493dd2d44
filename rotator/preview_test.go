package rotator

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare"
)

// batcher is a firewall whose API takes any number of rules in a call that
// opens or closes, and of both in a third.
type batcher struct{ Firewall }

func (batcher) Writes(p portsnare.Plan) int { return min(1, len(p.Open)+len(p.Close)) }

func TestWrites(t *testing.T) {
	plan := portsnare.Plan{Open: make([]portsnare.Opening, 3), Close: make([]portsnare.Rule, 2)}
	for _, tt := range []struct {
		firewall Firewall
		way      portsnare.Way
		want     int
	}{
		{batcher{}, portsnare.InPlace, 1},
		{batcher{}, portsnare.OpenFirst, 2},
		{batcher{}, portsnare.CloseFirst, 2},
		{struct{ Firewall }{}, portsnare.OpenFirst, 5}, // which does not tell
	} {
		if got := writes(tt.firewall, plan, tt.way); got != tt.want {
			t.Errorf("%T, %s: %d writes, want %d", tt.firewall, tt.way, got, tt.want)
		}
	}
}

// TestAfter: the rules that are to be afterwards need no change.
func TestAfter(t *testing.T) {
	sources := portsnare.AnySource()
	old := portsnare.PortRange{Protocol: portsnare.TCP, From: 80, To: 89}
	fresh := portsnare.PortRange{Protocol: portsnare.TCP, From: 90, To: 99}
	rules := []portsnare.Rule{
		{ID: "1", Opening: portsnare.Opening{Range: old, Source: sources[0]}, Mark: "web"},
		{ID: "2", Opening: portsnare.Opening{Range: old, Source: sources[0]}},
	}
	want := portsnare.Wanted{Mark: "web", Openings: portsnare.OpeningsOf([]portsnare.PortRange{fresh}, sources...)}
	plan := portsnare.Diff(rules, want)
	for folds, used := range map[bool]int{false: 3, true: 2} {
		limits := portsnare.Limits{Folds: folds}
		after := After(rules, plan, limits, "web")
		if again := portsnare.Diff(after, want); !again.Empty() {
			t.Errorf("folds %t: still to be done:\n%s", folds, again)
		}
		if d := cmp.Diff(used, limits.Used(after)); d != "" {
			t.Errorf("folds %t: rules used (-want +got):\n%s", folds, d)
		}
	}
}
