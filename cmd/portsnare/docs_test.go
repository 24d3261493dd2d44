package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/clouds"
	"github.com/portsnare/portsnare/cmd/internal/config"
	"github.com/portsnare/portsnare/cmd/internal/reference"
	"github.com/portsnare/portsnare/providers/aws"
	"github.com/portsnare/portsnare/providers/digitalocean"
)

// TestPolicyInDocs: the policy to be pasted is the one that the provider tests.
func TestPolicyInDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "```json\n"+strings.TrimSpace(aws.Policy)+"\n```") {
		t.Error("docs/aws.md does not hold providers/aws/policy.json as it is")
	}
}

const providersDoc = "../../docs/providers.md"

func TestReferenceOfProviders(t *testing.T) {
	for name, want := range map[string]string{
		"kinds": kindTable(), "scopes": scopeTable(), "limits": limitTable(), "writes": writeTable(t),
	} {
		if err := reference.Sync(providersDoc, name, want, *update); err != nil {
			t.Error(err)
		}
	}
}

func kindTable() string {
	table := reference.NewTable("`kind`", "A group's `firewall`", "Further keys of the provider")
	for _, k := range config.Kinds() {
		table.Row(quote(k.Name), cmp.Or(k.Firewall, "absent"), quote(k.Keys...))
	}
	return table.String()
}

// quote returns words as code, with commas between them.
func quote(words ...string) string {
	if len(words) == 0 {
		return ""
	}
	return "`" + strings.Join(words, "`, `") + "`"
}

func scopeTable() string {
	table := reference.NewTable("Scopes", "For")
	table.Row(quote(digitalocean.Scopes...), "every firewall")
	table.Row(quote(digitalocean.ReplaceScopes...), "`replace: true`, and for `check --online` to see what is attached and what other firewalls admit")
	return table.String()
}

func limitTable() string {
	table := reference.NewTable("Kind", "Rules", "What counts")
	for _, c := range clouds.All() {
		table.Row(quote(c.Kind), c.Limit, c.Counts)
	}
	return table.String()
}

// writeTable asks the providers themselves.
func writeTable(t *testing.T) string {
	t.Helper()
	for name, value := range map[string]string{
		"DIGITALOCEAN_TOKEN": "t", "VULTR_API_KEY": "k", "OS_CLOUD": "", "OS_AUTH_URL": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	table := reference.NewTable("Kind", "With room for old and new", "Without")
	for _, p := range variants() {
		name := quote(p.Kind)
		if p.Settings.Flag("replace") {
			name += " with `replace: true`"
		}
		both, inPlace := writesOf(t, p)
		table.Row(name, strconv.Itoa(both), strconv.Itoa(inPlace))
	}
	return table.String()
}

// variants returns a provider of each kind, and a further one for each switch that
// a kind takes.
func variants() []config.Provider {
	var all []config.Provider
	for _, c := range clouds.All() {
		p := config.Provider{Kind: c.Kind, Settings: clouds.Settings{"region": "eu-central-1"}}
		all = append(all, p)
		for _, k := range c.Keys {
			if k.Sort == clouds.Flag {
				p.Settings = clouds.Settings{k.Name: true}
				all = append(all, p)
			}
		}
	}
	return all
}

// writesOf returns how many writes it takes to move ten traps open to everyone.
func writesOf(t *testing.T, p config.Provider) (both, inPlace int) {
	t.Helper()
	id := "bb4b2611-3d72-467b-8602-280330ecd65c"
	if p.Kind == "aws" {
		id = "sg-0f3a9c1d2e4b5a687"
	}
	firewall, err := openFirewall(t.Context(), p, id, "tokyo/web")
	if err != nil {
		t.Fatal(err)
	}
	w, ok := firewall.(interface{ Writes(portsnare.Plan) int })
	if !ok {
		t.Fatalf("%s does not tell its writes", p.Kind)
	}
	var plan portsnare.Plan
	for i, o := range moved(1000) {
		plan.Open = append(plan.Open, o)
		plan.Close = append(plan.Close, portsnare.Rule{ID: fmt.Sprint(i), Opening: moved(2000)[i], Mark: "web"})
	}
	return w.Writes(portsnare.Plan{Open: plan.Open}) + w.Writes(portsnare.Plan{Close: plan.Close}), w.Writes(plan)
}

// moved returns ten openings to everyone of each family.
func moved(from uint16) []portsnare.Opening {
	var openings []portsnare.Opening
	for i := range uint16(10) {
		for _, source := range portsnare.AnySource() {
			ports := portsnare.PortRange{Protocol: portsnare.TCP, From: from + 10*i, To: from + 10*i + 4}
			openings = append(openings, portsnare.Opening{Range: ports, Source: source})
		}
	}
	return openings
}

var variable = regexp.MustCompile(`"((?:DIGITALOCEAN|VULTR|OS)_[A-Z_]+)"`)

// TestEnvironmentInDocs: every variable that a provider reads is told.
func TestEnvironmentInDocs(t *testing.T) {
	doc, err := os.ReadFile(providersDoc)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../providers/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, name := range variable.FindAllStringSubmatch(string(text), -1) {
			found++
			if !strings.Contains(string(doc), "`"+name[1]+"`") {
				t.Errorf("%s reads %s, of which docs/providers.md does not speak", file, name[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("found %d variables: want those of three clouds", found)
	}
}
