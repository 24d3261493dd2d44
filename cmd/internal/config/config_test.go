package config

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/rotator/placement"
)

var update = flag.Bool("update", false, "write the golden files anew")

var compare = cmp.Options{
	cmpopts.EquateComparable(netip.Prefix{}),
	cmpopts.EquateEmpty(),
}

func ports(t *testing.T, s string) portsnare.PortSet {
	t.Helper()
	set, err := portsnare.ParsePortSet(s)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEveryKey(t *testing.T) {
	tokyo := Provider{Name: "tokyo", Kind: AWS, Region: "ap-northeast-1", Rules: 120}
	account := Provider{Name: "account-2", Kind: AWS}
	stack := Provider{Name: "stack", Kind: OpenStack, Cloud: "ovh", Region: "GRA11", Rules: 250}
	do := Provider{Name: "do", Kind: DigitalOcean, Replace: true}
	vultr := Provider{Name: "vultr", Kind: Vultr}
	bare := Provider{Name: "bare", Kind: None}
	strict := portsnare.Policy{Strikes: 4, Window: 30 * time.Minute, BanMin: 5 * time.Minute, BanMax: 7 * day, Delay: true}
	want := Config{
		State: "/srv/portsnare",
		Link: Link{
			Listen:    "127.0.0.1:4300",
			Advertise: []string{"controller.example.net:4222", "controller.example.net:4300", "[2001:db8::1]:4301", "[2001:db8::2]:4222"},
		},
		Metrics:   "127.0.0.1:9464",
		Log:       Log{slog.LevelDebug, true},
		Providers: []Provider{tokyo, account, stack, do, vultr, bare},
		Groups: []Group{{
			Name: "web", Provider: tokyo, Firewall: "sg-0f3a9c1d2e4b5a687",
			Protect: ports(t, "22/tcp,8443/tcp"), Public: ports(t, "443/tcp,443/udp"),
			Avoid: ports(t, "25/tcp,6000-6063/tcp"), Hosts: []string{"web-1", "web-2"},
			Rotate: Rotation{Cron: "*/15 * * * *"},
			Traps:  Traps{Limits: placement.DefaultLimits(), Keep: 0.5, Neighbours: 4, Radius: 32, Bait: 0, Secret: Secret{20, 100}},
			Policy: strict,
			Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"),
				netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32")},
			Sources: []portsnare.Source{netip.MustParsePrefix("0.0.0.0/0")},
			Grace:   5 * time.Second, ReportTimeout: time.Minute, OnMissing: Proceed, Repair: 150 * time.Second,
		}, {
			Name: "db", Provider: account, Firewall: "sg-12345678",
			Protect: ports(t, "5432/tcp"), Hosts: []string{"db-1"},
			Rotate:  Rotation{Min: 15 * time.Minute, Max: 15 * time.Minute},
			Traps:   Traps{Auto: true, Limits: placement.DefaultLimits(), Neighbours: 8, Radius: 16, Bait: 10, Secret: Secret{30, 400}},
			Policy:  strict, // by alias
			Sources: portsnare.AnySource(),
			Grace:   10 * time.Second, ReportTimeout: 30 * time.Second, OnMissing: Hold, Repair: time.Minute,
		}},
	}
	got, err := Load("testdata/every-key.good.yml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// The example of the design, which states nothing that is not a default there.
func TestDefaults(t *testing.T) {
	const short = `
providers: {tokyo: {kind: aws}}
groups:
  web: {provider: tokyo, firewall: sg-12345678, protect: [22/tcp], hosts: [web-1]}
`
	const long = short + `    # the same, spelt out
state: /var/lib/portsnare
link: {listen: ":4222"}
log: {level: info, format: text}
`
	inGroup := `, rotate: 10m-20m, traps: {exposed: 512, forged: 128, keep: 0},
    policy: {strikes: 3, window: 1h, ban: 10m..24h, delay: off}, sources: [0.0.0.0/0, ::/0],
    grace: 10s, report_timeout: 30s, on_missing: hold, repair: 1m}`
	implicit, err := Parse("short", []byte(short))
	if err != nil {
		t.Fatal(err)
	}
	explicit, err := Parse("long", []byte(strings.Replace(long, "]}\n", "]"+inGroup+"\n", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(explicit, implicit, compare); diff != "" {
		t.Errorf("-spelt out +by default\n%s", diff)
	}
	if got := implicit.Groups[0].Policy; got != portsnare.DefaultPolicy() {
		t.Errorf("policy %+v: want the default of the domain, %+v", got, portsnare.DefaultPolicy())
	}
}

// TestAuto: traps are chosen unless a class is spelt out; "auto" says so.
func TestAuto(t *testing.T) {
	const text = "providers: {tokyo: {kind: aws}}\ngroups:\n" +
		"  web: {provider: tokyo, firewall: sg-12345678, protect: [22/tcp], hosts: [web-1], traps: %s}\n"
	for _, tt := range []struct {
		traps string
		want  Traps
	}{
		{"auto", Traps{Auto: true, Limits: placement.DefaultLimits()}},
		{"{}", Traps{Auto: true, Limits: placement.DefaultLimits()}},
		{"{exposed: 1024, forged: 64, keep: 0.25}", Traps{Auto: true, Limits: placement.Limits{Exposed: 1024, Forged: 64}, Keep: 0.25}},
		{"{bait: 10}", Traps{Limits: placement.DefaultLimits()}},
		{"{neighbours: 8, keep: 0.8}", Traps{Limits: placement.DefaultLimits(), Keep: 0.8}},
	} {
		c, err := Parse("portsnare.yaml", fmt.Appendf(nil, text, tt.traps))
		if err != nil {
			t.Errorf("traps: %s: %v", tt.traps, err)
			continue
		}
		tt.want.Neighbours, tt.want.Radius, tt.want.Bait, tt.want.Secret = 8, 16, 10, Secret{30, 400}
		if diff := cmp.Diff(tt.want, c.Groups[0].Traps); diff != "" {
			t.Errorf("traps: %s: -want +got\n%s", tt.traps, diff)
		}
	}
}

func TestRefusals(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no refusals to test: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, err := Parse("portsnare.yaml", read(t, path))
			if !errors.Is(err, portsnare.Invalid) || portsnare.KindOf(err) != portsnare.Invalid {
				t.Fatalf("error %v: want one of kind invalid", err)
			}
			golden := strings.TrimSuffix(path, ".yml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(read(t, golden)), err.Error()+"\n"); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// A message is for people who do not know that there is Go behind it.
func TestMessagesSpeakNoGo(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		for _, word := range []string{"strconv", "netip", "unmarshal", "struct", "int64", "config.", "%!", "nil"} {
			if text := string(read(t, path)); strings.Contains(text, word) {
				t.Errorf("%s has %q in it:\n%s", path, word, text)
			}
		}
	}
}

func TestProblemsAreData(t *testing.T) {
	_, err := Parse("portsnare.yaml", []byte("state: here\nproviders: {}\n"))
	problems, ok := errors.AsType[Problems](err)
	if !ok || len(problems) != 3 {
		t.Fatalf("error %v: want three problems", err)
	}
	got := problems[1] // before it, at 1:1, the groups that are missing
	want := &Problem{File: "portsnare.yaml", Line: 1, Column: 8, Key: "state",
		Message: `"here": want an absolute path`, source: "state: here"}
	if *got != *want {
		t.Errorf("problem %+v: want %+v", got, want)
	}
	if got, want := got.Position(), "portsnare.yaml:1:8"; got != want {
		t.Errorf("position %s: want %s", got, want)
	}
}

func TestLoadMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	_, err := Load(path)
	if !errors.Is(err, portsnare.NotFound) {
		t.Errorf("error %v: want one of kind not found", err)
	}
	if got, want := err.Error(), "read "+path+": no such file or directory"; got != want {
		t.Errorf("error %q: want %q", got, want)
	}
	if got, want := portsnare.HintOf(err), "portsnare init -c "+path+" writes one to start from"; got != want {
		t.Errorf("hint %q: want %q", got, want)
	}
}

func TestReadErrorKinds(t *testing.T) {
	denied := readError("f", &os.PathError{Op: "open", Path: "f", Err: os.ErrPermission})
	if !errors.Is(denied, portsnare.Denied) || portsnare.HintOf(denied) == "" {
		t.Errorf("error %v: want one of kind denied with a hint", denied)
	}
	if kind := portsnare.KindOf(readError("f", errors.New("input/output error"))); kind != "" {
		t.Errorf("kind %q: want none", kind)
	}
}

func TestLookUp(t *testing.T) {
	c, err := Load("testdata/every-key.good.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		find func(string) (Group, error)
		name string
		want string // the group; "" for none
		hint string
	}{
		{c.Group, "db", "db", ""},
		{c.Group, "web-1", "", "it has web, db"},
		{c.GroupOf, "web-2", "web", ""},
		{c.GroupOf, "web", "", "it has web-1, web-2, db-1"},
	}
	for _, test := range tests {
		got, err := test.find(test.name)
		if got.Name != test.want || errors.Is(err, portsnare.NotFound) != (test.want == "") || portsnare.HintOf(err) != test.hint {
			t.Errorf("%s: got group %q, error %v, hint %q: want %q, hint %q",
				test.name, got.Name, err, portsnare.HintOf(err), test.want, test.hint)
		}
	}
	if got, want := c.Groups[0].Protected(), ports(t, "22/tcp,443/tcp,8443/tcp,443/udp"); !got.Equal(want) {
		t.Errorf("protected %s: want %s", got, want)
	}
}

// The example is valid as it is. What it has commented out shows the defaults,
// so putting it in force changes nothing, save for the keys that have none.
func TestExample(t *testing.T) {
	plain, err := Parse("example.yaml", Example)
	if err != nil {
		t.Fatal(err)
	}
	commented := regexp.MustCompile(`(?m)^( *)# ([a-z_]+:)`)
	whole, err := Parse("example.yaml", commented.ReplaceAll(Example, []byte("$1$2")))
	if err != nil {
		t.Fatal(err)
	}
	if whole.Metrics == "" || whole.Groups[0].Avoid.Empty() || len(whole.Groups[0].Allow) == 0 {
		t.Errorf("%+v: want an example of each key that has no default", whole)
	}
	plain.Metrics = whole.Metrics
	plain.Groups[0].Avoid, plain.Groups[0].Allow = whole.Groups[0].Avoid, whole.Groups[0].Allow
	if diff := cmp.Diff(plain, whole, compare); diff != "" {
		t.Errorf("-defaults +commented out\n%s", diff)
	}
	for _, k := range Keys() {
		name := k.Name[strings.LastIndex(k.Name, ".")+1:]
		if !strings.Contains(string(Example), name+":") {
			t.Errorf("%s is not in the example", k.Name)
		}
	}
}

func TestLineEnds(t *testing.T) {
	want, err := Parse("example.yaml", Example)
	if err != nil {
		t.Fatal(err)
	}
	windows := "\ufeff" + strings.ReplaceAll(string(Example), "\n", "\r\n")
	got, err := Parse("example.yaml", []byte(windows))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	_, err = Parse("f", []byte("\ufeffstate: here\r\n"))
	if got, want := err.Error(), "f:1:8: state: \"here\": want an absolute path\n      1 | state: here\n        |        ^"; !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Each default is read by the code that reads what users write.
func TestDefaultsAreDocumented(t *testing.T) {
	seen := make(map[string]bool)
	for _, k := range Keys() {
		if seen[k.Name] {
			t.Errorf("%s: documented twice", k.Name)
		}
		seen[k.Name] = true
		if k.Want == "" || k.Doc == "" {
			t.Errorf("%+v: want form and meaning", k)
		}
		if k.Required && k.Default != "" {
			t.Errorf("%s: required, yet has a default", k.Name)
		}
		if k.Default != "" && written(k.Default) == nil {
			t.Errorf("%s: default %q is no YAML", k.Name, k.Default)
		}
	}
	for _, name := range []string{"state", "groups.NAME.traps.secret.ports", "providers.NAME.kind"} {
		if !seen[name] {
			t.Errorf("%s: not documented", name)
		}
	}
}

func TestDurations(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
		back string // as it is written again
	}{
		{"0s", 0, "0s"},
		{"90s", 90 * time.Second, "1m30s"},
		{"60m", time.Hour, "1h"},
		{"1h30m", 90 * time.Minute, "1h30m"},
		{"1h0m5s", time.Hour + 5*time.Second, "1h0m5s"},
		{"1d", day, "24h"},
		{"1d12h", 36 * time.Hour, "36h"},
		{"7d", 7 * day, "7d"},
		{"2d1s", 2*day + time.Second, "2d1s"},
		{"0.5h", 30 * time.Minute, "30m"},
	}
	for _, test := range tests {
		got, ok := parseDuration(test.text)
		if !ok || got != test.want {
			t.Errorf("%s: got %s, %t: want %s", test.text, got, ok, test.want)
		}
		if back := formatDuration(got); back != test.back {
			t.Errorf("%s: written again as %s: want %s", test.text, back, test.back)
		}
	}
	for _, text := range []string{"", "d", "5", "-1s", "1.5d", "-1d", "1d-5s", "1s1d", "1ms", "1w", "99999d", "9999999999h"} {
		if got, ok := parseDuration(text); ok {
			t.Errorf("%q: got %s: want a refusal", text, got)
		}
	}
}

func TestRotationString(t *testing.T) {
	for _, text := range []string{"10m-20m", "15m", "*/15 * * * *", "@hourly", "90s-7d"} {
		r, err := rotation.parse(text)
		if err != nil {
			t.Fatal(err)
		}
		again, err := rotation.parse(r.String())
		if err != nil || again != r {
			t.Errorf("%s: written as %s and read as %+v, %v: want %+v", text, r, again, err, r)
		}
	}
}

func TestMeant(t *testing.T) {
	known := []string{"protect", "public", "provider", "policy"}
	tests := []struct{ word, want string }{
		{"protects", ": did you mean protect?"},
		{"pubilc", ": did you mean public?"},
		{"x", ": want protect, public, provider or policy"},
		{"sources", ": want protect, public, provider or policy"},
	}
	for _, test := range tests {
		if got := meant(test.word, known); got != test.want {
			t.Errorf("%s: got %q: want %q", test.word, got, test.want)
		}
	}
}

// FuzzParse looks for text on which reading stops short: a panic, or a refusal
// that names no place in the text.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("f", text)
		if err == nil {
			for _, g := range c.Groups {
				if err := g.Policy.Validate(); err != nil || g.Protected().Empty() || len(g.Hosts) == 0 {
					t.Errorf("accepted %+v, policy: %v", g, err)
				}
			}
			return
		}
		problems, ok := errors.AsType[Problems](err)
		if !ok {
			t.Fatalf("error %T: want problems", err)
		}
		for _, p := range problems {
			if lines := strings.Count(newlines.Replace(string(text)), "\n") + 1; p.Line < 1 || p.Line > lines || p.Column < 1 {
				t.Errorf("%s: want a place in a text of %d lines", p.Position(), lines)
			}
		}
	})
}
