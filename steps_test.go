package portsnare

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func secret(t testing.TB, generation Generation, ports string) TrapSet {
	return TrapSet{Generation: generation, Traps: Traps{Secret: mustSet(t, ports)}}
}

func TestSteps(t *testing.T) {
	from, to := secret(t, 1, "10-19/tcp,30/tcp"), secret(t, 2, "15-24/tcp,30/tcp")
	for _, tt := range []struct {
		way  Way
		want []string
	}{
		{OpenFirst, []string{
			"arm 10-24/tcp,30/tcp",
			"open 10-19/tcp 15-24/tcp 30/tcp", "verify 10-19/tcp 15-24/tcp 30/tcp",
			"close 15-24/tcp 30/tcp", "verify 15-24/tcp 30/tcp",
			"grace", "settle 15-24/tcp 30/tcp", "arm 15-24/tcp,30/tcp"}},
		{InPlace, []string{
			"arm 10-24/tcp,30/tcp",
			"swap 15-24/tcp 30/tcp", "verify 15-24/tcp 30/tcp",
			"grace", "settle 15-24/tcp 30/tcp", "arm 15-24/tcp,30/tcp"}},
		{CloseFirst, []string{
			"arm 10-24/tcp,30/tcp",
			"close 30/tcp", "verify 30/tcp",
			"open 15-24/tcp 30/tcp", "verify 15-24/tcp 30/tcp",
			"grace", "settle 15-24/tcp 30/tcp", "arm 15-24/tcp,30/tcp"}},
	} {
		var got []string
		for _, s := range Steps(from, to, tt.way) {
			got = append(got, describe(s))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.way, got, tt.want)
		}
	}
}

func describe(s Step) string {
	words := []string{string(s.Kind)}
	if s.Kind == StepArm {
		words = append(words, s.Traps.Ports().String())
	}
	for _, r := range s.Ranges {
		words = append(words, r.String())
	}
	return strings.Join(words, " ")
}

// TestStepsKeepOrder demands, for every way and at every instant, that what the
// cloud admits is armed on the hosts: also between two packets of one step, and
// also when a step is begun again after a crash.
func TestStepsKeepOrder(t *testing.T) {
	sets := []TrapSet{secret(t, 0, ""), secret(t, 1, "10-19/tcp,30/tcp"), secret(t, 2, "5/tcp,15-24/tcp"), secret(t, 3, "30/tcp")}
	for _, way := range []Way{OpenFirst, InPlace, CloseFirst} {
		for _, from := range sets {
			for _, to := range sets {
				checkOrder(t, fmt.Sprintf("%s %d to %d", way, from.Generation, to.Generation), from, Steps(from, to, way), to)
			}
		}
	}
}

func checkOrder(t *testing.T, name string, from TrapSet, steps []Step, to TrapSet) {
	t.Helper()
	armed, open := from.Ports(), from.Ports()
	for i, s := range steps {
		switch s.Kind {
		case StepArm:
			// A host that has or has not got the order yet must cover what is open.
			if gap := open.Minus(armed.Intersect(s.Traps.Ports())); !gap.Empty() {
				t.Errorf("%s: step %d disarms %s, which is open", name, i, gap)
			}
			armed = s.Traps.Ports()
		case StepOpen, StepClose, StepSwap:
			during := open.Union(NewPortSet(s.Ranges...))
			if gap := during.Minus(armed); !gap.Empty() {
				t.Errorf("%s: step %d has %s open, which is not armed", name, i, gap)
			}
			open = NewPortSet(s.Ranges...)
		}
	}
	if !open.Equal(to.Ports()) || !armed.Equal(to.Ports()) {
		t.Errorf("%s: ends with %s open and %s armed", name, open, armed)
	}
}

func TestChooseWay(t *testing.T) {
	from, to := secret(t, 1, "1/tcp,3/tcp,5/tcp"), secret(t, 2, "3/tcp,7/tcp")
	for _, tt := range []struct {
		budget int
		limits Limits
		want   Way
	}{
		{4, Limits{}, OpenFirst},
		{4, Limits{InPlace: true}, OpenFirst},
		{4, Limits{InPlace: true, Whole: true}, InPlace},
		{3, Limits{InPlace: true}, InPlace},
		{3, Limits{}, CloseFirst},
	} {
		if got := ChooseWay(from, to, tt.budget, tt.limits); got != tt.want {
			t.Errorf("ChooseWay(budget %d, %+v) = %s, want %s", tt.budget, tt.limits, got, tt.want)
		}
	}
}

func TestTrapsUnionPrefersBait(t *testing.T) {
	a := Traps{Secret: mustSet(t, "80/tcp,90/tcp"), Neighbours: mustSet(t, "21/tcp")}
	b := Traps{Bait: mustSet(t, "80/tcp,21/tcp"), Secret: mustSet(t, "22/tcp")}
	both := a.Union(b)
	for port, want := range map[string]Class{"80/tcp": Bait, "21/tcp": Bait, "90/tcp": Secret, "22/tcp": Secret, "99/tcp": ""} {
		p, _ := ParsePort(port)
		if got := both.Class(p); got != want {
			t.Errorf("class of %s = %q, want %q", port, got, want)
		}
	}
	if !both.Firing().Intersect(both.Bait).Empty() {
		t.Errorf("a bait fires: %+v", both)
	}
}
