package vultrfake_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portsnare/portsnare/providers/fakes/judge"
	"github.com/portsnare/portsnare/providers/fakes/vultrfake"
)

const (
	specs = "vultr-firewalls.openapi.yaml"
	good  = `{"ip_type":"v4","protocol":"tcp","port":"80","subnet":"0.0.0.0","subnet_size":0,"notes":"x"}`
)

var (
	anyV4 = netip.MustParsePrefix("0.0.0.0/0")
	anyV6 = netip.MustParsePrefix("::/0")
)

// A lab is a fake with one group. What is asked through it and answered is
// judged by Vultr's OpenAPI file, save where a test strays from it.
type lab struct {
	*vultrfake.Fake
	t        *testing.T
	judged   string // address
	unjudged string
	rules    string // path of the group's rules
	key      string
}

func newLab(t *testing.T, o vultrfake.Options) *lab {
	t.Helper()
	f := vultrfake.New(o)
	judged, unjudged := httptest.NewServer(judge.Wrap(t, specs, f)), httptest.NewServer(f)
	t.Cleanup(judged.Close)
	t.Cleanup(unjudged.Close)
	path := "/v2/firewalls/" + f.CreateGroup("web") + "/rules"
	return &lab{Fake: f, t: t, judged: judged.URL, unjudged: unjudged.URL, rules: path, key: vultrfake.DefaultAPIKey}
}

// group returns the id of the lab's group.
func (l *lab) group() string { return strings.Split(l.rules, "/")[3] }

func (l *lab) send(method, url, body string) (*http.Response, string) {
	l.t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	noError(l.t, err)
	r.Header.Set("Content-Type", "application/json")
	if l.key != "" {
		r.Header.Set("Authorization", "Bearer "+l.key)
	}
	reply, err := http.DefaultClient.Do(r)
	noError(l.t, err)
	defer reply.Body.Close() //nolint:errcheck // it is read below
	text, err := io.ReadAll(reply.Body)
	noError(l.t, err)
	return reply, string(text)
}

// want sends a request and checks status and answer, of which "" is any.
func (l *lab) want(status int, answer, method, url, body string) string {
	l.t.Helper()
	reply, text := l.send(method, url, body)
	if reply.StatusCode != status || answer != "" && strings.TrimSpace(text) != answer {
		l.t.Errorf("%s %s %s: %d %s\nwant %d %s", method, url, body, reply.StatusCode, text, status, answer)
	}
	return text
}

func refused(status int, message string) string {
	return fmt.Sprintf(`{"error":%q,"status":%d}`, message, status)
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOneRuleFromBirthToDeath(t *testing.T) {
	l := newLab(t, vultrfake.Options{})
	rule := `{"id":1,"type":"v4","ip_type":"v4","action":"accept","protocol":"tcp","port":"80","subnet":"0.0.0.0","subnet_size":0,"source":"0.0.0.0/0","notes":"x"}`
	list := l.judged + l.rules
	none := `{"firewall_rules":[],"meta":{"links":{"next":"","prev":""},"total":0}}`
	l.want(200, none, "GET", list, "")
	l.want(201, `{"firewall_rule":`+rule+`}`, "POST", list, good)
	l.want(400, refused(400, "This rule is already defined"), "POST", list, good)
	l.want(400, refused(400, "This rule is already defined"), "POST", list, strings.Replace(good, `"x"`, `"y"`, 1))
	l.want(200, `{"firewall_rule":`+rule+`}`, "GET", list+"/1", "")
	l.want(200, `{"firewall_rules":[`+rule+`],"meta":{"links":{"next":"","prev":""},"total":1}}`, "GET", list, "")
	group := l.want(200, "", "GET", strings.TrimSuffix(list, "/rules"), "")
	if !strings.Contains(group, `"max_rule_count":50,"rule_count":1`) {
		t.Errorf("group %s", group)
	}
	l.want(204, "", "DELETE", list+"/1", "")
	l.want(404, refused(404, "Firewall rule ID not found."), "DELETE", list+"/1", "")
	l.want(404, refused(404, "Firewall rule ID not found."), "GET", list+"/1", "")
	l.want(200, none, "GET", list, "")
	var committed []string
	for _, c := range l.Calls() {
		if c.Committed {
			committed = append(committed, fmt.Sprint(c.Action, " ", c.Rule, " ", c.Status))
		}
	}
	if d := cmp.Diff([]string{vultrfake.CreateRule + " 0 201", vultrfake.DeleteRule + " 1 204"}, committed); d != "" {
		t.Errorf("committed calls (-want +got):\n%s", d)
	}
}

func TestEverySortOfRule(t *testing.T) {
	l := newLab(t, vultrfake.Options{LongIPv6: true})
	for body, want := range map[string]string{
		`{"ip_type":"v4","protocol":"udp","port":"8000:9000","subnet":"192.0.2.123","subnet_size":24}`:                         `"port":"8000:9000","subnet":"192.0.2.123","subnet_size":24,"source":"192.0.2.123/24"`,
		`{"ip_type":"v6","protocol":"tcp","port":"80","subnet":"2001:db8::","subnet_size":32}`:                                 `"subnet":"2001:0db8:0000:0000:0000:0000:0000:0000","subnet_size":32,"source":"2001:db8::/32"`,
		`{"ip_type":"v6","protocol":"icmp","subnet":"::","subnet_size":0}`:                                                     `"protocol":"icmp","port":""`,
		`{"ip_type":"v4","protocol":"tcp","port":"443","subnet":"0.0.0.0","subnet_size":0,"source":"cloudflare"}`:              `"source":"cloudflare"`,
		`{"ip_type":"v4","protocol":"gre","subnet":"0.0.0.0","subnet_size":0,"source":"cb676a46-66fd-4dfb-b839-443f2e6c0b60"}`: `"source":"cb676a46-66fd-4dfb-b839-443f2e6c0b60"`,
	} {
		if text := l.want(201, "", "POST", l.judged+l.rules, body); !strings.Contains(text, want) {
			t.Errorf("%s: %s\nwant %s in it", body, text, want)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	l := newLab(t, vultrfake.Options{MaxRules: 1})
	with := func(field, value string) string {
		var fields map[string]json.RawMessage
		noError(t, json.Unmarshal([]byte(good), &fields))
		fields[field] = json.RawMessage(value)
		text, err := json.Marshal(fields)
		noError(t, err)
		return string(text)
	}
	_, err := l.AddRule(l.group(), vultrfake.Rule{Protocol: "tcp", Port: "81", Subnet: netip.MustParsePrefix("192.0.2.0/24")})
	noError(t, err)
	for _, tt := range []struct{ name, body, message string }{
		{"full", good, "The group holds as many rules as it may."},
		{"bits beyond the size", `{"ip_type":"v4","protocol":"tcp","port":"81","subnet":"192.0.2.9","subnet_size":24}`, "This rule is already defined"},
		{"no family", with("ip_type", `""`), "Invalid ip_type."},
		{"the other family", with("ip_type", `"v6"`), "Invalid subnet."},
		{"no size", with("subnet_size", `null`), "Invalid subnet_size."},
		{"a size too large", with("subnet_size", `33`), "Invalid subnet."},
		{"upper case", with("protocol", `"TCP"`), "Invalid protocol."},
		{"no port", with("port", `""`), "Invalid port."},
		{"port 0", with("port", `"0"`), "Invalid port."},
		{"a dash", with("port", `"80-90"`), "Invalid port."},
		{"from high to low", with("port", `"90:80"`), "Invalid port."},
		{"a port too high", with("port", `"80:65536"`), "Invalid port."},
		{"a port for ICMP", with("protocol", `"icmp"`), "A port needs the protocol tcp or udp."},
		{"a source of nobody's", with("source", `"web"`), "Invalid source."},
		{"an unknown field", with("ports", `"80"`), `Invalid JSON: json: unknown field "ports".`},
		{"no JSON", "x", "Invalid JSON: invalid character 'x' looking for beginning of value."},
		{"two bodies", good + good, "Invalid JSON."},
	} {
		l.want(400, refused(400, tt.message), "POST", l.unjudged+l.rules, tt.body)
	}
	if got := len(l.Rules(l.group())); got != 1 {
		t.Errorf("%d rules, want 1", got)
	}
}

func TestWhoMayCallWhat(t *testing.T) {
	l := newLab(t, vultrfake.Options{
		APIKeys: []string{"READER", vultrfake.DefaultAPIKey},
		Allow:   func(key, action string) bool { return key != "READER" || action == vultrfake.ListRules },
	})
	absent := "/v2/firewalls/cb676a46-66fd-4dfb-b839-443f2e6c0b60"
	for _, path := range []string{absent, absent + "/rules", absent + "/rules/1"} {
		l.want(404, refused(404, "Firewall group ID not found."), "GET", l.judged+path, "")
	}
	l.want(400, refused(400, "invalid resource format"), "GET", l.judged+"/v2/firewalls/1", "")
	l.want(404, refused(404, "Not found."), "GET", l.unjudged+"/v2/instances", "")
	l.key = "READER"
	l.want(200, "", "GET", l.judged+l.rules, "")
	l.want(403, refused(403, "Unauthorized"), "POST", l.judged+l.rules, good)
	for _, l.key = range []string{"", "STRANGER"} {
		l.want(401, refused(401, "Invalid API token."), "GET", l.judged+l.rules, "")
	}
}

func TestPages(t *testing.T) {
	l := newLab(t, vultrfake.Options{})
	for n := range 7 {
		_, err := l.AddRule(l.group(), vultrfake.Rule{Protocol: "tcp", Port: fmt.Sprint(n + 1), Subnet: anyV4})
		noError(t, err)
	}
	type page struct {
		Rules []struct{ ID int } `json:"firewall_rules"`
		Meta  struct {
			Total int
			Links struct{ Next string }
		}
	}
	var got [][]int
	for cursor := ""; ; {
		var p page
		noError(t, json.Unmarshal([]byte(l.want(200, "", "GET", l.judged+l.rules+"?per_page=3&cursor="+cursor, "")), &p))
		var ids []int
		for _, r := range p.Rules {
			ids = append(ids, r.ID)
		}
		got = append(got, ids)
		if p.Meta.Total != 7-min(1, len(got)-1) {
			t.Errorf("page %d: total %d", len(got), p.Meta.Total)
		}
		if cursor = p.Meta.Links.Next; cursor == "" {
			break
		}
		if len(got) == 1 { // what was seen goes away; nothing else is missed
			noError(t, l.RemoveRule(l.group(), 2))
		}
	}
	if d := cmp.Diff([][]int{{1, 2, 3}, {4, 5, 6}, {7}}, got); d != "" {
		t.Errorf("pages (-want +got):\n%s", d)
	}
	for query, message := range map[string]string{
		"per_page=0": "Invalid per_page.", "per_page=501": "Invalid per_page.", "per_page=x": "Invalid per_page.",
		"cursor=x": "Invalid cursor.", "cursor=bmV4dF9f": "Invalid cursor.", "cursor=bmV4dF9feA==": "Invalid cursor.",
	} {
		l.want(400, refused(400, message), "GET", l.unjudged+l.rules+"?"+query, "")
	}
}

func TestNumbers(t *testing.T) {
	for reuse, want := range map[bool][]int{false: {1, 3, 4}, true: {1, 2, 3}} {
		l := newLab(t, vultrfake.Options{ReuseNumbers: reuse})
		var numbers []int
		for _, port := range []string{"1", "2", "3"} {
			_, err := l.AddRule(l.group(), vultrfake.Rule{Protocol: "tcp", Port: port, Subnet: anyV6})
			noError(t, err)
		}
		noError(t, l.RemoveRule(l.group(), 2))
		_, err := l.AddRule(l.group(), vultrfake.Rule{Protocol: "tcp", Port: "4", Subnet: anyV6})
		noError(t, err)
		for _, r := range l.Rules(l.group()) {
			numbers = append(numbers, r.Number)
		}
		if !slices.Equal(numbers, want) {
			t.Errorf("reuse %v: numbers %v, want %v", reuse, numbers, want)
		}
	}
}

// At most 30 requests are answered in any second.
func TestRate(t *testing.T) {
	now := time.Unix(0, 0)
	l := newLab(t, vultrfake.Options{Now: func() time.Time { return now }})
	for range 30 {
		l.want(200, "", "GET", l.judged+l.rules, "")
		now = now.Add(10 * time.Millisecond)
	}
	limited := refused(429, "rate limit exceeded")
	l.want(429, limited, "GET", l.judged+l.rules, "")
	now = now.Add(700 * time.Millisecond) // the first is a second ago
	l.want(200, "", "GET", l.judged+l.rules, "")
	l.want(429, limited, "GET", l.judged+l.rules, "")
	if got, want := l.Calls()[30].Status, 429; got != want {
		t.Errorf("status %d in the log, want %d", got, want)
	}
}

func TestFreeze(t *testing.T) {
	now := time.Unix(0, 0)
	l := newLab(t, vultrfake.Options{Now: func() time.Time { return now }, Rate: -1})
	listed := func(want int) {
		t.Helper()
		text := l.want(200, "", "GET", l.judged+l.rules, "")
		if got := strings.Count(text, `"id":`); got != want {
			t.Errorf("%d rules in the list, want %d", got, want)
		}
	}
	l.Freeze(2)
	l.want(201, "", "POST", l.judged+l.rules, good)
	l.want(200, "", "GET", l.judged+l.rules+"/1", "") // told as it is
	if group := l.want(200, "", "GET", strings.TrimSuffix(l.judged+l.rules, "/rules"), ""); !strings.Contains(group, `"rule_count":0`) {
		t.Errorf("group %s", group)
	}
	listed(0)
	listed(0)
	listed(1)
	l.FreezeFor(time.Second)
	noError(t, l.RemoveRule(l.group(), 1))
	listed(1)
	now = now.Add(time.Second)
	listed(0)
	l.Freeze(0)
	l.want(201, "", "POST", l.judged+l.rules, good)
	listed(0)
	l.Thaw()
	listed(1)
}

func TestHooks(t *testing.T) {
	l := newLab(t, vultrfake.Options{})
	url := l.judged + l.rules
	for _, tt := range []struct {
		name   string
		stage  vultrfake.Stage
		answer http.Handler
		status int
		header string // Content-Type
		made   bool
	}{
		{"throttled", vultrfake.Before, vultrfake.Throttled, 429, "application/json", false},
		{"throttled for a while", vultrfake.Before, vultrfake.ThrottledFor(3), 429, "application/json", false},
		{"an error", vultrfake.Before, vultrfake.InternalError, 500, "application/json", false},
		{"unavailable", vultrfake.Before, vultrfake.Unavailable, 503, "application/json", false},
		{"a late error", vultrfake.After, vultrfake.InternalError, 500, "application/json", true},
		{"a page", vultrfake.Before, vultrfake.BadGateway, 502, "text/html", false},
		{"an odd answer", vultrfake.After, vultrfake.OddAnswer, 201, "application/json; charset=utf-8", true},
		{"none", vultrfake.Before, nil, 201, "application/json", true},
	} {
		t.Run(tt.name+" "+tt.stage.String(), func(t *testing.T) {
			l.Intercept(vultrfake.First(1, tt.stage, vultrfake.CreateRule, tt.answer))
			reply, _ := l.send("POST", url, good)
			if got := reply.Header.Get("Content-Type"); reply.StatusCode != tt.status || got != tt.header {
				t.Errorf("%d %s, want %d %s", reply.StatusCode, got, tt.status, tt.header)
			}
			if made := len(l.Rules(l.group())) > 0; made != tt.made {
				t.Errorf("made: %v, want %v", made, tt.made)
			}
			for _, r := range l.Rules(l.group()) {
				noError(t, l.RemoveRule(l.group(), r.Number))
			}
		})
	}
	for stage, want := range map[vultrfake.Stage]int{vultrfake.Before: 0, vultrfake.After: 1} {
		l.Intercept(vultrfake.First(1, stage, "", vultrfake.Drop))
		if reply, err := http.DefaultClient.Do(l.post(url)); err == nil {
			t.Errorf("%s: status %d, want the connection closed", stage, reply.StatusCode)
		}
		if got := len(l.Rules(l.group())); got != want {
			t.Errorf("%s: %d rules, want %d", stage, got, want)
		}
		for _, r := range l.Rules(l.group()) {
			noError(t, l.RemoveRule(l.group(), r.Number))
		}
	}
}

func (l *lab) post(url string) *http.Request {
	l.t.Helper()
	r, err := http.NewRequest("POST", url, bytes.NewBufferString(good))
	noError(l.t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+l.key)
	return r
}

func TestOnChange(t *testing.T) {
	l := newLab(t, vultrfake.Options{})
	var seen []int
	l.OnChange(func(_ string, rules []vultrfake.Rule) error {
		if seen = append(seen, len(rules)); len(seen) == 2 {
			return errors.New("not put into force")
		}
		return nil
	})
	l.want(201, "", "POST", l.judged+l.rules, good)
	l.want(500, refused(500, "Server error: not put into force"), "POST", l.judged+l.rules, strings.Replace(good, "80", "81", 1))
	l.want(400, "", "POST", l.judged+l.rules, good)
	noError(t, l.RemoveRule(l.group(), 1))
	if want := []int{1, 2, 1}; !slices.Equal(seen, want) {
		t.Errorf("seen %v, want %v", seen, want)
	}
}

func TestConsoleIsRefusedToo(t *testing.T) {
	l := newLab(t, vultrfake.Options{})
	_, err := l.AddRule(l.group(), vultrfake.Rule{Protocol: "tcp", Subnet: anyV4})
	wantError(t, err, 400, "Invalid port.")
	wantError(t, l.RemoveRule(l.group(), 1), 404, "Firewall rule ID not found.")
	l.DeleteGroup(l.group())
	_, err = l.AddRule(l.group(), vultrfake.Rule{Protocol: "tcp", Port: "1", Subnet: anyV4})
	wantError(t, err, 404, "Firewall group ID not found.")
	if len(l.Calls()) != 0 {
		t.Error("the console is in the log of requests")
	}
}

func wantError(t *testing.T, err error, status int, message string) {
	t.Helper()
	got, ok := errors.AsType[*vultrfake.Error](err)
	if !ok || got.Status != status || got.Message != message {
		t.Errorf("error %v, want %s (HTTP status %d)", err, message, status)
	}
}
