package config

import (
	"encoding/json"
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
	"github.com/portsnare/portsnare/cmd/internal/clouds"
	"github.com/portsnare/portsnare/rotator/placement"
)

var update = flag.Bool("update", false, "write the golden files anew")

var compare = cmp.Options{
	cmpopts.EquateComparable(netip.Prefix{}),
	cmpopts.EquateEmpty(),
	cmpopts.IgnoreFields(Config{}, "Warnings"), // which have a test of their own
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
	const usual = 20 * time.Second // of a call
	tokyo := Provider{Name: "tokyo", Kind: "aws", Settings: clouds.Settings{"region": "ap-northeast-1", "rules": 120}, Timeout: 4 * time.Second}
	account := Provider{Name: "account-2", Kind: "aws", Timeout: usual}
	stack := Provider{Name: "stack", Kind: "openstack", Settings: clouds.Settings{"cloud": "ovh", "region": "GRA11", "rules": 250}, Timeout: usual}
	do := Provider{Name: "do", Kind: "digitalocean", Settings: clouds.Settings{"replace": true}, Timeout: usual}
	vultr := Provider{Name: "vultr", Kind: "vultr", Timeout: usual}
	bare := Provider{Name: "bare", Kind: clouds.None}
	strict := portsnare.Policy{Strikes: 4, Window: 30 * time.Minute, BanMin: 5 * time.Minute, BanMax: 7 * day, Delay: true}
	want := Config{
		Owner: "tokyo-1",
		State: "/srv/portsnare",
		Link: Link{
			Listen:    "127.0.0.1:4300",
			Advertise: []string{"controller.acme.test:4222", "controller.acme.test:4300", "[2001:db8::1]:4301", "[2001:db8::2]:4222"},
		},
		Metrics:   "127.0.0.1:9464",
		Log:       Log{slog.LevelDebug, true},
		Providers: []Provider{tokyo, account, stack, do, vultr, bare},
		Groups: []Group{{
			Name: "web", Provider: tokyo, Firewall: "sg-00000000000000001",
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
			Grace:   30 * time.Second, ReportTimeout: 30 * time.Second, OnMissing: Hold, Repair: time.Minute,
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
    grace: 30s, report_timeout: 30s, on_missing: hold, repair: 1m}`
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

// TestWarnings: what is allowed and probably not meant is named, and nothing else.
func TestWarnings(t *testing.T) {
	files, err := filepath.Glob("testdata/*.warn.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, path := range files {
		c, err := Parse("portsnare.yaml", read(t, path))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		golden := strings.TrimSuffix(path, ".yml") + ".txt"
		got := c.Warnings.Error() + "\n"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(string(read(t, golden)), got); diff != "" {
			t.Errorf("%s: -want +got\n%s", path, diff)
		}
	}
}

// What may be a secret is in no message, neither in the text of one nor in the line
// below it: in these files that is everything called hunter2.
func TestSecretsAreNotShown(t *testing.T) {
	files, err := filepath.Glob("testdata/secrets*.bad.yml")
	if err != nil || len(files) < 3 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, path := range files {
		text := read(t, path)
		_, err := Parse("portsnare.yaml", text)
		if err == nil {
			t.Fatalf("%s: want refusals", path)
		}
		problems, _ := errors.AsType[Problems](err)
		data, failed := json.Marshal(problems)
		if failed != nil {
			t.Fatal(failed)
		}
		for name, shown := range map[string]string{"text": err.Error(), "JSON": string(data)} {
			if !strings.Contains(string(text), "hunter2") || strings.Contains(shown, "hunter2") {
				t.Errorf("%s as %s:\n%s", path, name, shown)
			}
		}
	}
}

// Wherever in the file a value is that may be a secret, and whatever else is wrong in
// its line, it is not shown.
func TestSecretsAreNotShownAnywhere(t *testing.T) {
	values := []string{"hunter2", `"hunter2"`, "'hunter2'", "[hunter2]", "{a: hunter2}", "{token: hunter2}", "&x hunter2", "!!str hunter2",
		"{a: [hunter2, {b: hunter2}]}", `"x\n hunter2"`}
	lines := []string{"%s: %s", "link: {%s: %s, listen: x}", "log: {level: x, %s: %s}", "providers: {p: {kind: x, %s: %s, rules: x}, %[1]s: %[2]s}",
		"providers: {p: {kind: aws}}\ngroups: {g: {hosts: [_], %s: %s, traps: {bait: x, %[1]s: %[2]s, secret: {ports: x, %[1]s: %[2]s}}}}"}
	for _, name := range []string{"token", "colour", "API_KEY", "Password", "0"} {
		for _, value := range values {
			for _, line := range lines {
				text := fmt.Sprintf(line, name, value)
				if _, err := Parse("f", []byte(text)); err == nil || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s\n%v", text, err)
				}
			}
		}
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
		Message: `"here": want an absolute path`, source: "state: here", caret: 8}
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

// edited is the example as somebody leaves it who has replaced what must be.
func edited(t *testing.T) []byte {
	t.Helper()
	text := string(NewExample("3f9c21ab"))
	for old, own := range map[string]string{"controller.example.net": "10.0.0.1", "sg-0f3a9c1d2e4b5a687": "sg-12345678"} {
		if strings.Count(text, old) != 1 {
			t.Fatalf("%s is in the example %d times: want once", old, strings.Count(text, old))
		}
		text = strings.Replace(text, old, own, 1)
	}
	return []byte(text)
}

// Of the example only its example values are wrong, and each of them is named.
func TestExampleValues(t *testing.T) {
	for _, test := range []struct {
		text []byte
		keys []string
	}{
		{example, []string{"owner", "link.advertise[0]", "groups.web.firewall"}},
		{NewExample("3f9c21ab"), []string{"link.advertise[0]", "groups.web.firewall"}},
		{edited(t), nil},
	} {
		_, err := Parse("portsnare.yaml", test.text)
		var keys []string
		problems, _ := errors.AsType[Problems](err)
		for _, p := range problems {
			keys = append(keys, p.Key)
			if !strings.Contains(p.Message, "an example value: want ") {
				t.Errorf("%v", p)
			}
		}
		if diff := cmp.Diff(test.keys, keys); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
	c, err := Parse("portsnare.yaml", edited(t))
	if err != nil || c.Owner != "3f9c21ab" || len(c.Warnings) > 0 {
		t.Errorf("owner %q, warnings %v, %v", c.Owner, c.Warnings, err)
	}
}

// Every id with which a message explains what an id is, and every name that exists
// for examples only, is refused.
func TestPlaceholders(t *testing.T) {
	const text = `providers: {p: {kind: %s}}
link: {advertise: [%s]}
groups: {web: {provider: p, firewall: %s, protect: [8443/tcp], hosts: [h]}}
`
	named := 0
	for _, k := range Kinds() {
		_, id, ok := strings.Cut(k.Firewall, "such as ")
		if !ok {
			continue
		}
		named++
		_, err := Parse("f", fmt.Appendf(nil, text, k.Name, "192.0.2.1", id))
		if problems, _ := errors.AsType[Problems](err); len(problems) != 1 || problems[0].Key != "groups.web.firewall" {
			t.Errorf("%s: %v", k.Name, err)
		}
	}
	if named != 4 {
		t.Errorf("%d kinds with an example: want 4", named)
	}
	for name, refused := range map[string]bool{
		"example.com": true, "a.b.Example.org": true, "controller.example.net:443": true, "c.example": true, "x.invalid": true,
		"example.dev": false, "notexample.com": false, "c.test": false, "localhost": false, `"[2001:db8::1]:4222"`: false,
	} {
		_, err := Parse("f", fmt.Appendf(nil, text, "aws", name, "sg-12345678"))
		if (err != nil) != refused {
			t.Errorf("%s: %v: want refused %t", name, err, refused)
		}
	}
}

// What the example has commented out shows the defaults, so putting it in force
// changes nothing, save for the keys that have none.
func TestExample(t *testing.T) {
	plain, err := Parse("example.yaml", edited(t))
	if err != nil {
		t.Fatal(err)
	}
	commented := regexp.MustCompile(`(?m)^( *)# ([a-z_]+:)`)
	whole, err := Parse("example.yaml", commented.ReplaceAll(edited(t), []byte("$1$2")))
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
		if !strings.Contains(string(example), name+":") {
			t.Errorf("%s is not in the example", k.Name)
		}
	}
}

func TestLineEnds(t *testing.T) {
	want, err := Parse("example.yaml", edited(t))
	if err != nil {
		t.Fatal(err)
	}
	windows := "\ufeff" + strings.ReplaceAll(string(edited(t)), "\n", "\r\n")
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

// A range reads the same with either sign, wherever there is one.
func TestRanges(t *testing.T) {
	const text = "providers: {p: {kind: none}}\ngroups: {g: {provider: p, protect: [8443/tcp], hosts: [h], rotate: %s, policy: {ban: %s}}}\n"
	for _, sign := range []string{"-", ".."} {
		c, err := Parse("f", fmt.Appendf(nil, text, "10m"+sign+"20m", "5m"+sign+"7d"))
		if err != nil {
			t.Fatal(err)
		}
		if r, p := c.Groups[0].Rotate, c.Groups[0].Policy; r != (Rotation{Min: 10 * time.Minute, Max: 20 * time.Minute}) || p.BanMin != 5*time.Minute || p.BanMax != 7*day {
			t.Errorf("with %s: %+v, %+v", sign, r, p)
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

func TestListenersCollide(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{":4222", "127.0.0.1:4222", true},
		{":4222", "[2001:db8::1]:4222", true},
		{"0.0.0.0:4222", "[::1]:4222", true}, // Go listens on both families then
		{"[::]:4222", "192.0.2.1:4222", true},
		{"127.0.0.1:4222", "127.0.0.1:4222", true},
		{"127.0.0.1:4222", "127.0.0.1:04222", true},
		{"localhost:4222", "127.0.0.1:4222", true},
		{"localhost:4222", "[::1]:4222", true},
		{"Name:4222", "name:4222", true},
		{"[::ffff:127.0.0.1]:4222", "127.0.0.1:4222", true},
		{":4222", ":4223", false},
		{"127.0.0.1:4222", "127.0.0.2:4222", false},
		{"127.0.0.1:4222", "[::1]:4222", false},
		{"name:4222", "127.0.0.1:4222", false}, // nobody is asked
	} {
		if got := collide(test.a, test.b); got != test.want {
			t.Errorf("%s and %s: %t", test.a, test.b, got)
		}
		if got := collide(test.b, test.a); got != test.want {
			t.Errorf("%s and %s: %t", test.b, test.a, got)
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
