package vultr_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/vultrfake"
	"github.com/portsnare/portsnare/providers/vultr"
)

// environment makes a machine that knows of Vultr what the pairs say.
func environment(t *testing.T, pairs ...string) {
	t.Helper()
	for _, name := range []string{"VULTR_API_KEY", "VULTR_API_KEY_FILE", "VULTR_API_ENDPOINT"} {
		t.Setenv(name, "")
	}
	for i := 0; i < len(pairs); i += 2 {
		t.Setenv(pairs[i], pairs[i+1])
	}
}

func keyFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	noError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestOpenByTheEnvironment(t *testing.T) {
	const key = vultrfake.DefaultAPIKey
	for name, pairs := range map[string][]string{
		"a key":              {"VULTR_API_KEY", key},
		"a file":             {"VULTR_API_KEY_FILE", keyFile(t, key)},
		"a file with a line": {"VULTR_API_KEY_FILE", keyFile(t, key+"\n")},
	} {
		for _, path := range []string{"", "/", "/v2", "/v2/"} {
			t.Run(name+", "+path, func(t *testing.T) {
				l := newLab(t, unlimited())
				environment(t, append(pairs, "VULTR_API_ENDPOINT", l.url+path)...)
				f, err := vultr.Open(vultr.Options{GroupID: l.group, Mark: mark})
				noError(t, err)
				rules, err := f.Rules(context.Background())
				noError(t, err)
				if len(rules) != len(l.foreign) {
					t.Errorf("%d rules, want %d", len(rules), len(l.foreign))
				}
			})
		}
	}
}

func TestOptionsComeBeforeTheEnvironment(t *testing.T) {
	l := newLab(t, unlimited())
	environment(t, "VULTR_API_KEY", "NOTTHISONE", "VULTR_API_ENDPOINT", "https://not.this.one.test")
	f, err := vultr.Open(vultr.Options{GroupID: l.group, Mark: mark, APIKey: vultrfake.DefaultAPIKey, Endpoint: l.url})
	noError(t, err)
	_, err = f.Rules(context.Background())
	noError(t, err)
}

func TestOpenRefuses(t *testing.T) {
	const (
		group   = "cb676a46-66fd-4dfb-b839-443f2e6c0b60"
		give    = "set VULTR_API_KEY, or VULTR_API_KEY_FILE to the name of a file that holds it; keys are made at https://my.vultr.com/settings/#settingsapi"
		noAPI   = ": want an address such as https://api.vultr.com"
		noGroup = ": want an id such as cb676a46-66fd-4dfb-b839-443f2e6c0b60"
	)
	absent := filepath.Join(t.TempDir(), "absent")
	good := vultr.Options{GroupID: group, Mark: mark}
	key := []string{"VULTR_API_KEY", "KEY"}
	for _, tt := range []struct {
		name        string
		environment []string
		options     vultr.Options
		kind        portsnare.Kind
		text, hint  string
	}{
		{"no key", nil, good, portsnare.Denied, "find the API key: none is given", give},
		{"an empty file", []string{"VULTR_API_KEY_FILE", keyFile(t, "\n")}, good, portsnare.Denied, "find the API key: none is given", give},
		{"an absent file", []string{"VULTR_API_KEY_FILE", absent}, good, portsnare.Invalid,
			"find the API key: open " + absent + ": no such file or directory", "set VULTR_API_KEY_FILE to the name of a file that holds the API key"},
		{"both", append(key, "VULTR_API_KEY_FILE", absent), good, portsnare.Invalid,
			"find the API key: both VULTR_API_KEY and VULTR_API_KEY_FILE are set", "unset one of the two"},
		{"a key with a blank", []string{"VULTR_API_KEY", "KEY OF MINE"}, good, portsnare.Invalid, "use the API key: it is empty or holds characters that none has", give},
		{"a file with two lines", []string{"VULTR_API_KEY_FILE", keyFile(t, "KEY\nKEY\n")}, good, portsnare.Invalid,
			"use the API key: it is empty or holds characters that none has", give},
		{"a name for an id", key, vultr.Options{GroupID: "web", Mark: mark}, portsnare.Invalid, "open firewall group web" + noGroup, hintGroup},
		{"a path for an id", key, vultr.Options{GroupID: group[:34] + "/.", Mark: mark}, portsnare.Invalid, "open firewall group " + group[:34] + "/." + noGroup, hintGroup},
		{"no mark", key, vultr.Options{GroupID: group}, portsnare.Invalid, "open firewall group " + group + ": an owner mark is needed", ""},
		{"an endpoint without a scheme", append(key, "VULTR_API_ENDPOINT", "api.vultr.com"), good, portsnare.Invalid, "use the endpoint api.vultr.com" + noAPI, hintHost},
		{"an endpoint with a path", append(key, "VULTR_API_ENDPOINT", "https://h.test/x"), good, portsnare.Invalid, "use the endpoint https://h.test/x" + noAPI, hintHost},
		{"an endpoint with a query", append(key, "VULTR_API_ENDPOINT", "https://h.test?x"), good, portsnare.Invalid, "use the endpoint https://h.test?x" + noAPI, hintHost},
		{"an endpoint without a host", append(key, "VULTR_API_ENDPOINT", "https:///v2"), good, portsnare.Invalid, "use the endpoint https:///v2" + noAPI, hintHost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			environment(t, tt.environment...)
			_, err := vultr.Open(tt.options)
			wantError(t, err, tt.kind, "vultr: "+tt.text, tt.hint)
			if strings.Contains(err.Error(), "KEY OF") {
				t.Errorf("the error tells the key: %v", err)
			}
		})
	}
}

func TestRulesComeInPages(t *testing.T) {
	l := newLab(t, unlimited())
	want := dual(t, "100/tcp", "200/tcp", "300/udp")
	l.reach(want)
	l.SetPage(3)
	before := len(l.vultr.Calls())
	if plan := l.plan(want); !plan.Empty() {
		t.Errorf("plan\n%s", plan)
	}
	if got := l.calls(before); got != "list list list" { // of 8 rules
		t.Errorf("calls %s, want three lists", got)
	}
}
