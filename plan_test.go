package portsnare

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"testing"
)

var anyV4, anyV6 = AnySource()[0], AnySource()[1]

func opening(t testing.TB, port string, source Source) Opening {
	t.Helper()
	r, err := ParsePortRange(port)
	if err != nil {
		t.Fatal(err)
	}
	return Opening{r, source}
}

func TestDiff(t *testing.T) {
	const mark = Mark("web")
	open := func(port string) Opening { return opening(t, port, anyV4) }
	protected := mustSet(t, "22/tcp")
	for _, tt := range []struct {
		name string
		have []Rule
		want []Opening
		plan string
	}{
		{"nothing to do", []Rule{{ID: "1", Opening: open("5/tcp"), Mark: mark}}, []Opening{open("5/tcp")}, ""},
		{"open and close", []Rule{{ID: "1", Opening: open("5/tcp"), Mark: mark}}, []Opening{open("7-9/tcp")},
			"+ 7-9/tcp from 0.0.0.0/0\n- 5/tcp from 0.0.0.0/0 (1)\n"},
		{"foreign rules stay", []Rule{{ID: "1", Opening: open("5/tcp")}, {ID: "2", Opening: open("6/tcp"), Mark: "db"}}, nil, ""},
		{"an equal foreign rule serves", []Rule{{ID: "1", Opening: open("5/tcp")}}, []Opening{open("5/tcp")}, ""},
		{"a rule that refuses does not", []Rule{{ID: "1", Opening: open("5/tcp"), Deny: true}}, []Opening{open("5/tcp")},
			"+ 5/tcp from 0.0.0.0/0\n"},
		{"ours goes where a foreign one serves", []Rule{{ID: "1", Opening: open("5/tcp"), Mark: mark}, {ID: "2", Opening: open("5/tcp")}},
			[]Opening{open("5/tcp")}, "- 5/tcp from 0.0.0.0/0 (1)\n"},
		{"a double goes", []Rule{{ID: "1", Opening: open("5/tcp"), Mark: mark}, {ID: "2", Opening: open("5/tcp"), Mark: mark}},
			[]Opening{open("5/tcp")}, "- 5/tcp from 0.0.0.0/0 (2)\n"},
		{"families differ", []Rule{{ID: "1", Opening: opening(t, "5/tcp", anyV6), Mark: mark}}, []Opening{open("5/tcp")},
			"+ 5/tcp from 0.0.0.0/0\n- 5/tcp from ::/0 (1)\n"},
		{"the only rule for a protected port stays", []Rule{{ID: "1", Opening: open("20-23/tcp"), Mark: mark}}, nil,
			"! 20-23/tcp from 0.0.0.0/0 (1) stays: nothing else admits a protected port in it\n"},
		{"another rule admits it", []Rule{{ID: "1", Opening: open("20-23/tcp"), Mark: mark}, {ID: "2", Opening: open("1-99/tcp")}}, nil,
			"- 20-23/tcp from 0.0.0.0/0 (1)\n"},
		{"another rule admits it to too few", []Rule{{ID: "1", Opening: open("20-23/tcp"), Mark: mark},
			{ID: "2", Opening: opening(t, "22/tcp", netip.MustParsePrefix("192.0.2.0/24"))}}, nil,
			"! 20-23/tcp from 0.0.0.0/0 (1) stays: nothing else admits a protected port in it\n"},
		{"a rule of two protocols stays whole", []Rule{{ID: "1", Opening: open("1-65535/tcp"), Mark: mark},
			{ID: "1", Opening: open("1-65535/udp"), Mark: mark}}, nil,
			"! 1-65535/tcp from 0.0.0.0/0 (1) stays: nothing else admits a protected port in it\n" +
				"! 1-65535/udp from 0.0.0.0/0 (1) stays: nothing else admits a protected port in it\n"},
	} {
		plan := Diff(tt.have, Wanted{Mark: mark, Openings: tt.want, Protected: protected})
		if got := plan.String(); got != tt.plan {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, tt.plan)
		}
	}
}

// A rule with a former mark is ours: it goes, and what is still wanted of it is
// opened with our mark. Rules with any other mark are not.
func TestDiffFormerMarks(t *testing.T) {
	open := func(port string) Opening { return opening(t, port, anyV4) }
	have := []Rule{
		{ID: "1", Opening: open("5/tcp"), Mark: "tokyo/web"},
		{ID: "2", Opening: open("6/tcp"), Mark: "web"},
		{ID: "3", Opening: open("7/tcp"), Mark: "web"},
		{ID: "4", Opening: open("22/tcp"), Mark: "web"},
		{ID: "5", Opening: open("8/tcp"), Mark: "osaka/web"},
		{ID: "6", Opening: open("9/tcp"), Mark: "db"},
	}
	plan := Diff(have, Wanted{
		Mark: "tokyo/web", Former: []Mark{"web"}, Protected: mustSet(t, "22/tcp"),
		Openings: []Opening{open("5/tcp"), open("6/tcp"), open("8/tcp")},
	})
	const want = "+ 6/tcp from 0.0.0.0/0\n- 6/tcp from 0.0.0.0/0 (2)\n- 7/tcp from 0.0.0.0/0 (3)\n" +
		"! 22/tcp from 0.0.0.0/0 (4) stays: nothing else admits a protected port in it\n"
	if got := plan.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPlanCheck(t *testing.T) {
	ours := Rule{ID: "3", Opening: opening(t, "5/tcp", anyV4), Mark: "tokyo/web"}
	former := Rule{ID: "4", Opening: opening(t, "6/tcp", anyV4), Mark: "web"}
	change := func(f func(*Rule)) Plan {
		r := ours
		f(&r)
		return Plan{Close: []Rule{ours, r}}
	}
	for _, tt := range []struct {
		plan Plan
		want string
	}{
		{change(func(r *Rule) { r.Mark = "" }), `a rule to be closed bears the mark "", ours is "tokyo/web"`},
		{change(func(r *Rule) { r.Mark = "osaka/web" }), `a rule to be closed bears the mark "osaka/web", ours is "tokyo/web"`},
		{change(func(r *Rule) { r.Mark = "db" }), `a rule to be closed bears the mark "db", ours is "tokyo/web"`},
		{change(func(r *Rule) { r.ID = "" }), "a rule to be closed has no id"},
		{change(func(r *Rule) { r.Deny = true }), "a rule to be closed refuses: it is not ours"},
		{Plan{Close: []Rule{ours}, Held: []Rule{ours}}, "a rule to be closed is to be held too"},
		{Plan{Open: []Opening{opening(t, "6/tcp", Source{})}}, "what is to be opened is no port range with a source"},
		{Plan{Open: []Opening{{PortRange{Protocol: TCP}, anyV4}}}, "what is to be opened is no port range with a source"},
		{Plan{Open: []Opening{{PortRange{1, 5, 5}, anyV4}}}, "what is to be opened is no port range with a source"},
	} {
		if err := tt.plan.Check("tokyo/web", "web"); err == nil || err.Error() != tt.want || KindOf(err) != Invalid {
			t.Errorf("Check = %v, want %s", err, tt.want)
		}
	}
	good := Plan{Close: []Rule{ours, former}, Open: []Opening{opening(t, "6-9/udp", anyV6)}}
	if err := good.Check("tokyo/web", "web"); err != nil {
		t.Error(err)
	}
	if err := good.Check("tokyo/web"); KindOf(err) != Invalid {
		t.Errorf("Check of a rule with a mark that is not ours = %v, want invalid", err)
	}
	for _, marks := range [][]Mark{nil, {""}, {"tokyo/web", ""}} {
		if err := good.Check(marks...); KindOf(err) != Invalid {
			t.Errorf("Check with the marks %q = %v, want invalid", marks, err)
		}
	}
}

// TestDiffNeverHurts applies plans of random firewalls and demands the
// invariants: what is wanted stands, only ours went, a protected port that was
// admitted still is, and the second plan is empty.
func TestDiffNeverHurts(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		have, want := randomFirewall(rng)
		plan := Diff(have, want)
		after := applied(have, plan, want.Mark)
		for _, r := range plan.Close {
			if r.Mark != want.Mark {
				t.Fatalf("closes %v of %q", r, r.Mark)
			}
		}
		for _, o := range want.Openings {
			if !slices.ContainsFunc(after, func(r Rule) bool { return r.Opening == o && !r.Deny }) {
				t.Fatalf("%s is missing after\n%s", o, plan)
			}
		}
		for p := range want.Protected.All() {
			for _, source := range AnySource() {
				needed := Opening{p.Range(), source}
				if admits(have, needed) && !admits(after, needed) {
					t.Fatalf("%s was closed by\n%s", needed, plan)
				}
			}
		}
		if second := Diff(after, want); !second.Empty() {
			t.Fatalf("second plan is not empty:\n%s", second)
		}
	}
}

func admits(rules []Rule, o Opening) bool {
	return slices.ContainsFunc(rules, func(r Rule) bool { return !r.Deny && r.Opening.Covers(o) })
}

func applied(have []Rule, plan Plan, mark Mark) []Rule {
	after := slices.DeleteFunc(slices.Clone(have), func(r Rule) bool { return slices.Contains(plan.Close, r) })
	for i, o := range plan.Open {
		after = append(after, Rule{ID: "new" + strconv.Itoa(i), Opening: o, Mark: mark})
	}
	return after
}

func randomFirewall(rng *rand.Rand) ([]Rule, Wanted) {
	random := func() Opening {
		from := uint16(1 + rng.IntN(12))
		return Opening{PortRange{TCP, from, from + uint16(rng.IntN(4))}, AnySource()[rng.IntN(2)]}
	}
	var have []Rule
	for i := range rng.IntN(12) {
		mark := []Mark{"", "web", "web", "db"}[rng.IntN(4)]
		have = append(have, Rule{ID: strconv.Itoa(i), Opening: random(), Deny: mark == "" && rng.IntN(4) == 0, Mark: mark})
	}
	want := Wanted{Mark: "web", Protected: PortSetOf(Port{TCP, 4}, Port{TCP, 9})}
	for range rng.IntN(6) {
		want.Openings = append(want.Openings, random())
	}
	return have, want
}

func TestBudget(t *testing.T) {
	foreign := []Rule{
		{ID: "1", Opening: opening(t, "22/tcp", anyV4)},
		{ID: "2", Opening: opening(t, "23/tcp", anyV4)},
		{ID: "3", Opening: opening(t, "22/tcp", anyV6)},
		{ID: "4", Opening: opening(t, "80/tcp", Source{})},
		{ID: "4", Opening: opening(t, "80/udp", Source{})}, // the same rule admits both
	}
	other := netip.MustParsePrefix("192.0.2.0/24")
	for _, tt := range []struct {
		name    string
		limits  Limits
		sources []Source
		want    int
	}{
		{"families apart, both", Limits{Rules: 60, PerFamily: true}, AnySource(), 57},
		{"families apart, v6 only", Limits{Rules: 60, PerFamily: true}, []Source{anyV6}, 58},
		{"families apart, two v4 sources", Limits{Rules: 60, PerFamily: true}, []Source{anyV4, other}, 28},
		{"together", Limits{Rules: 50}, AnySource(), 23},
		{"folded", Limits{Rules: 50, Folds: true}, append(AnySource(), other), 46},
		{"folded and full", Limits{Rules: 3, Folds: true}, AnySource(), 0},
		{"full", Limits{Rules: 3}, AnySource(), 0},
		{"no source", Limits{Rules: 60}, nil, 0},
	} {
		if got := tt.limits.Budget(foreign, tt.sources...); got != tt.want {
			t.Errorf("%s: budget %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestUsed(t *testing.T) {
	rules := []Rule{
		{ID: "1", Opening: opening(t, "22/tcp", anyV4)},
		{ID: "2", Opening: opening(t, "22/tcp", anyV6)},
		{ID: "2", Opening: opening(t, "22/udp", anyV6)}, // the same rule admits both
		{ID: "3", Opening: opening(t, "23/tcp", anyV6)},
		{ID: "4", Opening: opening(t, "80/tcp", Source{})}, // counts in both families
	}
	for limits, want := range map[Limits]int{{PerFamily: true}: 3, {}: 4, {Folds: true}: 4} {
		if got := limits.Used(rules); got != want {
			t.Errorf("%+v: %d used, want %d", limits, got, want)
		}
	}
}

func TestOpenPorts(t *testing.T) {
	rules := []Rule{
		{Opening: opening(t, "22/tcp", anyV4)},
		{Opening: opening(t, "80-90/tcp", anyV6), Deny: true},
		{Opening: Opening{PortRange{Protocol: 1}, anyV4}}, // ICMP
		{Opening: opening(t, "53/udp", Source{}), Mark: "web"},
	}
	if got, want := OpenPorts(rules), mustSet(t, "22/tcp,53/udp"); !got.Equal(want) {
		t.Errorf("open ports %s, want %s", got, want)
	}
}

func BenchmarkDiff(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	want := Wanted{Mark: "web", Protected: PortSetOf(Port{TCP, 22})}
	var have []Rule
	for i := range 120 {
		from := uint16(1 + rng.IntN(65000))
		o := Opening{PortRange{TCP, from, from + 20}, AnySource()[i%2]}
		if i < 60 {
			want.Openings = append(want.Openings, o)
		}
		have = append(have, Rule{ID: strconv.Itoa(i), Opening: o, Mark: "web"})
	}
	for b.Loop() {
		Diff(have, want)
	}
}
