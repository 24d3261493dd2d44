package hub

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/nats-io/nats.go"
	"github.com/portsnare/portsnare"
)

// escape is what a terminal would obey.
const escape = `\u001b]0;owned\u0007\u001b[2J`

// TestHostileReports: a report with anything in it that makes no sense is refused
// as a whole, and that is said of the host.
func TestHostileReports(t *testing.T) {
	h := open(t, t.TempDir())
	member(t, h, "web-1")
	say := func(text string) {
		h.hearReport(&nats.Msg{Subject: portsnare.ReportSubject("web-1"), Data: []byte(text)})
	}
	for _, text := range []string{
		`{"host":"web-1","armed":"` + escape + `"}`,
		`{"host":"web-1","armed_traps":"` + escape + `"}`,
		`{"host":"web-1","backend":"` + escape + `"}`,
		`{"host":"web-1","run":"` + escape + `"}`,
		`{"host":"web-1","full":["` + escape + `"]}`,
		`{"host":"web-1","full":[` + strings.Repeat(`"hit4",`, 50) + `"hit6"]}`,
		`{"host":"web-1","armed":"` + strings.Repeat("a", 65) + `"}`,
		`{"host":"web-1","bans":-1}`,
		`{"host":"web-1","bans":1e9}`,
		`{"host":"web-1","repairs":-1}`,
		`{"host":"web-1","ban_number":-1}`,
		`{"host":"web-1","generation":-1}`,
		`{"host":"web-1","generation":99999999999999999999999}`,
		`{"host":"web-1","listening":"0/tcp"}`,
		`{"host":"web-1","listening":"` + escape + `"}`,
		`{"host":"web-2"}`,
		`{"host":"` + escape + `"}`,
		`{"host":"web-1","problem":"` + strings.Repeat("x", maxReport) + `"}`,
		`[]`, `null`, `"web-1"`, "\x00", "",
	} {
		say(`{"host":"web-1","armed":"good"}`)
		say(text)
		report, ok := h.Report("web-1")
		if !ok || report.Armed != "good" || !strings.Contains(report.Problem, "its report makes no sense") {
			t.Errorf("after %.80q: %+v", text, report)
		}
		if strings.ContainsFunc(report.Problem, func(r rune) bool { return !unicode.IsPrint(r) }) || len(report.Problem) > portsnare.MaxPlain {
			t.Errorf("after %.80q the problem is %q", text, report.Problem)
		}
	}
	say(`{"host":"web-1","armed":"good"}`)
	if report, _ := h.Report("web-1"); report.Problem != "" {
		t.Errorf("after a good report: %q", report.Problem)
	}
	if _, ok := h.Report("web-2"); ok {
		t.Error("a host has spoken for another")
	}
}

// TestHostileEvidence: of hits and bans nothing gets through that could reach a
// terminal, a label, or another host.
func TestHostileEvidence(t *testing.T) {
	var hits []portsnare.Hit
	var bans []portsnare.Ban
	lost := 0
	h := open(t, t.TempDir(), func(o *Options) {
		o.OnHit = func(hit portsnare.Hit) { hits = append(hits, hit) }
		o.OnBan = func(ban portsnare.Ban) { bans = append(bans, ban) }
		o.OnLost = func(_ string, n int) { lost += n }
	})
	member(t, h, "web-1")
	hit := func(fields string) string {
		return `{"host":"web-1","hits":[{"source":"198.51.100.7","port":"22/tcp","class":"secret"` + fields + `}]}`
	}
	ban := func(fields string) string {
		return `{"host":"web-1","run":"a","number":1,"reset":true,"bans":[{"source":"198.51.100.7/32","since":"2026-11-27T00:00:00Z","until":"2026-11-27T01:00:00Z","count":1` + fields + `}]}`
	}
	for i := range 1000 { // each would be a series of its own
		h.hearHits(&nats.Msg{Subject: portsnare.HitsSubject("web-1"), Data: []byte(hit(fmt.Sprintf(`,"class":"c%d"`, i)))})
	}
	for _, text := range []string{
		hit(`,"class":"` + escape + `"`), hit(`,"host":"web-2"`), hit(`,"host":"` + escape + `"`),
		hit(`,"port":"22/sctp"`), hit(`,"port":"0/tcp"`), hit(`,"port":"1-9/tcp"`),
		hit(`,"source":"x"`), hit(`,"source":""`), hit(`,"source":"fe80::1%` + escape + `"`), hit(`,"generation":-1`), hit(`,"at":"yesterday"`),
		`{"host":"web-2","hits":[]}`, `{"host":"web-1","lost":-5}`, `{"host":"web-1","lost":1e300}`,
		`{"host":"web-1","hits":[` + strings.Repeat(`{"source":"1.2.3.4","port":"1/tcp"},`, portsnare.MaxHitsPerMessage) + `{"source":"1.2.3.4","port":"1/tcp"}]}`,
	} {
		h.hearHits(&nats.Msg{Subject: portsnare.HitsSubject("web-1"), Data: []byte(text)})
	}
	for _, text := range []string{
		ban(`,"host":"web-2"`), ban(`,"source":"0.0.0.0/0"`), ban(`,"source":"198.51.100.0/24"`), ban(`,"source":"2001:db8::1/128"`),
		ban(`,"count":-1`), ban(`,"until":"2026-11-26T00:00:00Z"`), ban(`,"until":"9999-01-01T00:00:00Z"`),
		ban(`,"hits":[{"source":"198.51.100.7","port":"22/tcp","class":"` + escape + `"}]`),
		ban(`,"hits":[{"host":"web-2","source":"198.51.100.7","port":"22/tcp","class":"secret"}]`),
		`{"host":"web-1","run":"` + escape + `","number":1,"reset":true}`,
		`{"host":"web-1","run":"a","number":1,"reset":true,"left":-1}`,
		`{"host":"web-1","run":"a","number":1,"reset":true,"left":100000000}`,
		`{"host":"web-1","run":"a","number":1,"reset":true,"ended":["0.0.0.0/0"]}`,
	} {
		h.hearBans(&nats.Msg{Subject: portsnare.BansSubject("web-1"), Data: []byte(text)})
	}
	if len(hits) != 0 || len(bans) != 0 || lost != 0 {
		t.Errorf("%d hits, %d bans, %d lost got through: %+v %+v", len(hits), len(bans), lost, hits, bans)
	}
	if about := aboutOf(t, h.Bans(), "web-1"); about.Whole || !about.Heard.IsZero() {
		t.Errorf("bans of web-1: %+v; want nothing known", about)
	}
	h.hearHits(&nats.Msg{Subject: portsnare.HitsSubject("web-1"), Data: []byte(strings.Replace(hit(`,"at":"9999-01-01T00:00:00Z"`), `"hits"`, `"lost":7,"hits"`, 1))})
	if len(hits) != 1 || lost != 7 || time.Until(hits[0].At) > 0 {
		t.Errorf("a good one with a clock ahead: %+v, %d lost", hits, lost)
	}
	h.hearBans(&nats.Msg{Subject: portsnare.BansSubject("web-1"), Data: []byte(ban(""))})
	if len(bans) != 1 {
		t.Errorf("a good ban: %+v", bans)
	}
}

// Whatever a host says, what comes of it can be printed, and travels as JSON.
func FuzzHostWords(f *testing.F) {
	f.Add([]byte(`{"host":"web-1","problem":"\u001b","full":["hit4"],"listening":"1-9/tcp"}`))
	f.Add([]byte(`{"host":"web-1","run":"a","number":1,"reset":true,"bans":[{"source":"198.51.100.7/32","until":"9999-12-31T23:59:59Z"}]}`))
	f.Add([]byte(`{"host":"web-1","hits":[{"source":"::ffff:1.2.3.4","port":"1/udp","at":"0000-01-01T00:00:00Z"}]}`))
	now := time.Unix(1_800_000_000, 0)
	f.Fuzz(func(t *testing.T, text []byte) {
		r := newRegistry()
		var all []any
		if report, err := parseReport(text, "web-1", now); err == nil {
			all = append(all, report)
			if report.Host != "web-1" {
				t.Errorf("host %q", report.Host)
			}
		}
		if batch, err := parseHits(text, "web-1", now); err == nil {
			all = append(all, batch)
		}
		if update, err := parseBans(text, "web-1"); err == nil {
			r.compare(portsnare.Report{Host: "web-1", Run: update.Run}, clockSkew(text, now), now)
			begun, _ := r.take(update, now)
			bans, about := r.list("web-1", now)
			all = append(all, begun, bans, about)
		}
		for _, value := range all {
			out, err := json.Marshal(value)
			if err != nil {
				t.Fatalf("%+v: %v", value, err)
			}
			var back any
			if err := json.Unmarshal(out, &back); err != nil {
				t.Fatal(err)
			}
			wantPrintable(t, back)
		}
	})
}

func wantPrintable(t *testing.T, value any) {
	switch v := value.(type) {
	case string:
		if strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q", v)
		}
	case []any:
		for _, one := range v {
			wantPrintable(t, one)
		}
	case map[string]any:
		for _, one := range v {
			wantPrintable(t, one)
		}
	}
}
