package hub

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/portsnare/portsnare"
)

// teller is an agent that tells of bans.
type teller struct {
	t    *testing.T
	hub  *Hub
	host string
	run  string
	next uint64
}

func sourceNumber(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}), 32)
}

func banOf(host string, n int, since time.Time) portsnare.Ban {
	return portsnare.Ban{Host: host, Source: sourceNumber(n), Since: since, Until: since.Add(time.Hour), Count: 1,
		Hits: []portsnare.Hit{{Host: host, Source: sourceNumber(n).Addr(), Port: portsnare.Port{Protocol: portsnare.TCP, Number: 4000}, Class: portsnare.Secret, At: since}}}
}

func (a *teller) tell(u portsnare.BanUpdate) {
	a.t.Helper()
	a.next++
	u.Host, u.Run, u.Number = a.host, a.run, a.next
	text, err := json.Marshal(u)
	if err != nil {
		a.t.Fatal(err)
	}
	a.hub.hearBans(&nats.Msg{Subject: portsnare.BansSubject(a.host), Data: text})
}

func (a *teller) report(number uint64, at time.Time) {
	a.t.Helper()
	a.reportAll(portsnare.Report{At: at, BanNumber: number})
}

// reportAll tells everything that report says.
func (a *teller) reportAll(report portsnare.Report) {
	a.t.Helper()
	report.Host, report.Run = a.host, a.run
	text, err := json.Marshal(report)
	if err != nil {
		a.t.Fatal(err)
	}
	a.hub.hearReport(&nats.Msg{Subject: portsnare.ReportSubject(a.host), Data: text})
}

// asked returns a subscription that hears when the host is asked for its list.
func asked(t *testing.T, h *Hub, host string) *nats.Subscription {
	t.Helper()
	sub, err := h.nc.SubscribeSync(portsnare.ResyncSubject(host))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return sub
}

// pendingAfterFlush returns how often the host was asked so far.
func pendingAfterFlush(t *testing.T, h *Hub, sub *nats.Subscription) int {
	t.Helper()
	if err := h.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	n, _, err := sub.Pending()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func aboutOf(t *testing.T, all Bans, host string) HostBans {
	t.Helper()
	i := slices.IndexFunc(all.Hosts, func(b HostBans) bool { return b.Host == host })
	if i < 0 {
		t.Fatalf("%s is left out: %+v", host, all.Hosts)
	}
	return all.Hosts[i]
}

func wantBans(t *testing.T, h *Hub, host string, whole bool, numbers ...int) {
	t.Helper()
	all := h.Bans()
	about := aboutOf(t, all, host)
	if about.Whole != whole || about.Whole != (about.Why == "") {
		t.Errorf("whole %v (%s); want %v", about.Whole, about.Why, whole)
	}
	var got, want []netip.Prefix
	for _, ban := range all.Bans {
		got = append(got, ban.Source)
	}
	for _, n := range numbers {
		want = append(want, sourceNumber(n))
	}
	if !slices.Equal(got, want) {
		t.Errorf("bans %v; want %v", got, want)
	}
}

func newTeller(t *testing.T, told *[]int) (*Hub, *teller) {
	t.Helper()
	h := open(t, t.TempDir(), func(o *Options) {
		o.OnBan = func(b portsnare.Ban) {
			a := b.Source.Addr().As4()
			*told = append(*told, int(a[2])<<8|int(a[3]))
		}
	})
	member(t, h, "web-1")
	return h, &teller{t: t, hub: h, host: "web-1", run: "a"}
}

func TestBansFollowTheHost(t *testing.T) {
	var told []int
	h, a := newTeller(t, &told)
	now := time.Now()
	wantBans(t, h, "web-1", false) // it is named, though nothing is known
	ban := func(n int) portsnare.Ban { return banOf("web-1", n, now.Add(-time.Minute)) }

	a.tell(portsnare.BanUpdate{Reset: true, Left: 1, Bans: []portsnare.Ban{ban(1)}})
	a.report(a.next, now)
	wantBans(t, h, "web-1", false, 1)
	a.tell(portsnare.BanUpdate{Bans: []portsnare.Ban{ban(2)}})
	wantBans(t, h, "web-1", true, 1, 2)
	a.tell(portsnare.BanUpdate{Bans: []portsnare.Ban{ban(3)}, Ended: []netip.Prefix{sourceNumber(1)}})
	wantBans(t, h, "web-1", true, 2, 3)

	over := ban(4)
	over.Since, over.Until = now.Add(-2*time.Hour), now.Add(-time.Hour)
	a.tell(portsnare.BanUpdate{Bans: []portsnare.Ban{over}})
	wantBans(t, h, "web-1", true, 2, 3)

	// The whole list once more, as after a reconnect: no ban is news.
	a.tell(portsnare.BanUpdate{Reset: true, Bans: []portsnare.Ban{ban(2), ban(3)}})
	wantBans(t, h, "web-1", true, 2, 3)
	// A list that breaks off and begins again.
	a.tell(portsnare.BanUpdate{Reset: true, Left: 2})
	a.tell(portsnare.BanUpdate{Reset: true, Left: 1, Bans: []portsnare.Ban{ban(2)}})
	a.tell(portsnare.BanUpdate{Bans: []portsnare.Ban{ban(3)}})
	// The same source again, for the second time.
	again := banOf("web-1", 2, now)
	again.Count = 2
	a.tell(portsnare.BanUpdate{Bans: []portsnare.Ban{again}})
	wantBans(t, h, "web-1", true, 2, 3)
	if want := []int{1, 2, 3, 4, 2}; !slices.Equal(told, want) {
		t.Errorf("told %v; want %v", told, want)
	}
}

func TestBansWithAGap(t *testing.T) {
	var told []int
	h, a := newTeller(t, &told)
	now := time.Now()
	sub := asked(t, h, "web-1")
	a.tell(portsnare.BanUpdate{Bans: []portsnare.Ban{banOf("web-1", 1, now)}}) // an increment of what is not known
	a.report(a.next, now)
	wantBans(t, h, "web-1", false)
	if n := pendingAfterFlush(t, h, sub); n != 1 {
		t.Errorf("asked %d times; want 1", n)
	}
	for range 50 { // it goes on, and is not asked each time
		a.tell(portsnare.BanUpdate{Bans: []portsnare.Ban{banOf("web-1", 1, now)}})
	}
	if n := pendingAfterFlush(t, h, sub); n != 1 {
		t.Errorf("asked %d times within a moment; want 1", n)
	}
	a.tell(portsnare.BanUpdate{Reset: true, Bans: []portsnare.Ban{banOf("web-1", 1, now)}})
	wantBans(t, h, "web-1", true, 1)
	a.next += 3 // lost on the way
	a.tell(portsnare.BanUpdate{Bans: []portsnare.Ban{banOf("web-1", 2, now)}})
	wantBans(t, h, "web-1", false, 1)
	a.run, a.next = "b", 0 // the agent starts anew
	a.tell(portsnare.BanUpdate{Reset: true, Bans: []portsnare.Ban{banOf("web-1", 1, now), banOf("web-1", 2, now)}})
	a.report(a.next, now)
	wantBans(t, h, "web-1", true, 1, 2)
}

// A report that names an update which never comes shows the gap; one that the
// update has just not reached yet does not.
func TestBansBehindTheReport(t *testing.T) {
	r := newRegistry()
	now := time.Now()
	r.take(portsnare.BanUpdate{Host: "web-1", Run: "a", Number: 1, Reset: true}, now)
	report := portsnare.Report{Host: "web-1", Run: "a", BanNumber: 2}
	if r.compare(report, 0, now) {
		t.Error("asked at the first report")
	}
	if _, about := r.list("web-1", now); about.Why != "" {
		t.Errorf("taken for incomplete at once: %s", about.Why)
	}
	if !r.compare(report, 0, now.Add(5*time.Second)) {
		t.Error("not asked at the second report")
	}
	if _, about := r.list("web-1", now); about.Why == "" {
		t.Error("taken for whole")
	}
	if r.compare(report, 0, now.Add(6*time.Second)) {
		t.Error("asked again a second later")
	}
	if !r.compare(report, 0, now.Add(16*time.Second)) {
		t.Error("not asked again, though no answer came")
	}
	if r.compare(portsnare.Report{Host: "web-2"}, 0, now) {
		t.Error("an agent of the first version is asked")
	}
}

// After a restart the list of a host is no news, save what has begun meanwhile.
func TestBansAfterARestart(t *testing.T) {
	var told []int
	h, a := newTeller(t, &told)
	dir := h.opts.Dir
	onBan := h.opts.OnBan
	then := time.Now().Add(-time.Minute)
	a.tell(portsnare.BanUpdate{Reset: true, Bans: []portsnare.Ban{banOf("web-1", 1, then), banOf("web-1", 2, then)}})
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	a.hub = open(t, dir, func(o *Options) { o.OnBan = onBan })
	wantBans(t, a.hub, "web-1", false)
	a.tell(portsnare.BanUpdate{Reset: true, Bans: []portsnare.Ban{banOf("web-1", 1, then), banOf("web-1", 2, then), banOf("web-1", 3, then.Add(time.Second))}})
	a.report(a.next, time.Now())
	wantBans(t, a.hub, "web-1", true, 1, 2, 3)
	if want := []int{1, 2, 3}; !slices.Equal(told, want) {
		t.Errorf("told %v; want %v", told, want)
	}
}

// The clock of a host may be wrong by years: its bans are listed by ours.
func TestBansOfAHostWithAnotherClock(t *testing.T) {
	for name, skew := range map[string]time.Duration{"behind": -300 * 24 * time.Hour, "ahead": 300 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			var told []int
			h, a := newTeller(t, &told)
			now := time.Now()
			a.report(0, now.Add(skew))
			over := banOf("web-1", 2, now.Add(skew-2*time.Hour))
			a.tell(portsnare.BanUpdate{Reset: true, Bans: []portsnare.Ban{banOf("web-1", 1, now.Add(skew)), over}})
			wantBans(t, h, "web-1", true, 1)
			if until := time.Until(h.Bans().Bans[0].Until); until < 50*time.Minute || until > 70*time.Minute {
				t.Errorf("the ban ends in %s; want an hour", until)
			}
		})
	}
}

// A clock that jumps makes all bans look over, until they are told with other
// times. None of them is news.
func TestBansOfAHostWhoseClockJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{"behind": -300 * 24 * time.Hour, "ahead": 300 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			r, now := newRegistry(), time.Now()
			update := func(number uint64, at time.Time, numbers ...int) (begun int) {
				u := portsnare.BanUpdate{Host: "web-1", Run: "a", Number: number, Reset: number == 1}
				for _, n := range numbers {
					u.Bans = append(u.Bans, banOf("web-1", n, at))
				}
				bans, ask := r.take(u, now)
				if ask {
					t.Errorf("update %d: asked for the whole list", number)
				}
				return len(bans)
			}
			begin := now
			told := update(1, begin, 1, 2)
			now = now.Add(time.Minute)
			r.compare(portsnare.Report{Host: "web-1", Run: "a", BanNumber: 1}, -jump, now)
			told += update(2, begin.Add(jump), 1)
			told += update(3, begin.Add(jump), 2)
			if bans, about := r.list("web-1", now); told != 2 || len(bans) != 2 || about.Why != "" {
				t.Errorf("told %d times, %d are listed, lacking %q; want each told once and listed", told, len(bans), about.Why)
			}
		})
	}
}

// A ban that an update took with it when it got lost is news in the list that is
// told then, although it began before others that were told.
func TestBansThatGotLost(t *testing.T) {
	var told []int
	h, a := newTeller(t, &told)
	now := time.Now()
	early := banOf("web-1", 2, now.Add(-time.Minute))
	a.tell(portsnare.BanUpdate{Reset: true, Bans: []portsnare.Ban{banOf("web-1", 1, now)}})
	a.next++
	for range 2 {
		a.tell(portsnare.BanUpdate{Reset: true, Left: 1, Bans: []portsnare.Ban{banOf("web-1", 1, now)}}) // breaks off once
	}
	a.tell(portsnare.BanUpdate{Bans: []portsnare.Ban{early}})
	a.tell(portsnare.BanUpdate{Reset: true, Bans: []portsnare.Ban{banOf("web-1", 1, now), early}})
	a.report(a.next, now)
	wantBans(t, h, "web-1", true, 1, 2)
	if want := []int{1, 2}; !slices.Equal(told, want) {
		t.Errorf("told %v; want %v", told, want)
	}
}

// A host that begins its list again and again, with other bans each time, costs no
// more than two lists.
func TestListsWithoutEndAreBounded(t *testing.T) {
	r := newRegistry()
	now, number := time.Now(), uint64(0)
	for n := range 2 * portsnare.MaxBansPerHost / portsnare.MaxBansPerMessage {
		u := portsnare.BanUpdate{Host: "web-1", Run: "a", Reset: true, Left: 1}
		for i := range portsnare.MaxBansPerMessage {
			at := n*portsnare.MaxBansPerMessage + i
			source := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(at >> 16), byte(at >> 8), byte(at)}), 32)
			u.Bans = append(u.Bans, portsnare.Ban{Source: source, Since: now, Until: now.Add(time.Hour), Count: 1})
		}
		number++
		u.Number = number
		r.take(u, now)
	}
	if b := r.hosts["web-1"]; len(b.before) > portsnare.MaxBansPerHost || len(b.bans) > portsnare.MaxBansPerHost {
		t.Errorf("%d bans from before and %d others are kept; want %d at most of each", len(b.before), len(b.bans), portsnare.MaxBansPerHost)
	}
}

// A host that tells of more than any host can hold costs what one costs.
func TestBansAreBounded(t *testing.T) {
	r := newRegistry()
	now := time.Now()
	number := uint64(1)
	r.take(portsnare.BanUpdate{Host: "web-1", Run: "a", Number: 1, Reset: true}, now)
	for n := range portsnare.MaxBansPerHost + 10 {
		number++
		source := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
		r.take(portsnare.BanUpdate{Host: "web-1", Run: "a", Number: number, Bans: []portsnare.Ban{{Source: source, Until: now.Add(time.Hour)}}}, now)
	}
	bans, about := r.list("web-1", now)
	if len(bans) != portsnare.MaxBansPerHost || about.Why == "" {
		t.Errorf("%d bans, why %q; want %d, and that there are more", len(bans), about.Why, portsnare.MaxBansPerHost)
	}
}

// One host loses its own history only, and of that the oldest.
func TestHistoryIsBounded(t *testing.T) {
	var told []int
	h, a := newTeller(t, &told)
	member(t, h, "web-2")
	good := &teller{t: t, hub: h, host: "web-2", run: "a"}
	now := time.Now()
	good.tell(portsnare.BanUpdate{Reset: true, Bans: []portsnare.Ban{banOf("web-2", 1, now)}})
	a.tell(portsnare.BanUpdate{Reset: true})
	for n := range 2000 {
		fat := banOf("web-1", n, now)
		fat.Hits = slices.Repeat(fat.Hits, 100)
		a.tell(portsnare.BanUpdate{Bans: []portsnare.Ban{fat}})
	}
	if err := h.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	var web1, web2, size int
	for end := time.Now().Add(10 * time.Second); web1 != keptMessages && time.Now().Before(end); {
		info, err := h.stores.evidence.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		web1, size = int(info.State.Msgs)-1, int(info.State.Bytes)
	}
	if _, err := h.stores.evidence.GetLastMsgForSubject(t.Context(), keptBans+"web-2"); err == nil {
		web2 = 1
	}
	if web1 != keptMessages || web2 != 1 || size > 1<<20 {
		t.Errorf("%d messages of web-1, %d of web-2, %d bytes", web1, web2, size)
	}
}

// TestBansWhereNothingIsArmed: a host whose kernel is not armed may hold less than it
// told, so its list is not whole, and says why.
func TestBansWhereNothingIsArmed(t *testing.T) {
	var told []int
	h, a := newTeller(t, &told)
	now := time.Now()
	a.tell(portsnare.BanUpdate{Reset: true, Bans: []portsnare.Ban{banOf("web-1", 1, now)}})
	for _, test := range []struct {
		name   string
		report portsnare.Report
		whole  bool
	}{
		{"armed", portsnare.Report{Armed: "1"}, true},
		{"armed, with another problem", portsnare.Report{Armed: "1", Problem: "friends not saved"}, true},
		{"no order yet", portsnare.Report{}, true},
		{"not armed", portsnare.Report{Problem: "order not armed: no such program"}, false},
	} {
		test.report.At, test.report.BanNumber = now, a.next
		a.reportAll(test.report)
		got := h.Bans().Hosts[0]
		if got.Whole != test.whole || (got.Why == "") != test.whole || !test.whole && !strings.Contains(got.Why, test.report.Problem) {
			t.Errorf("%s: %+v; want whole %v", test.name, got, test.whole)
		}
	}
}
