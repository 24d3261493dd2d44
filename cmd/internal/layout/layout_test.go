package layout

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestThisModule(t *testing.T) {
	const top = "../../.."
	text, err := os.ReadFile(top + "/go.mod")
	if err != nil || !strings.HasPrefix(string(text), "module "+module+"\n") {
		t.Fatalf("%s/go.mod: %v: want the file of module %s", top, err, module)
	}
	breaches, err := Check(os.DirFS(top))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range breaches {
		t.Error(b)
	}
}

// tree is a small module in which nothing is wrong.
func tree() map[string]string {
	return map[string]string{
		"port.go":                    "package portsnare\n\nimport (\n\t\"net/netip\"\n\t\"time\"\n)\n\nvar _ = time.Second\nvar _ netip.Addr\n",
		"port_test.go":               "package portsnare\n\nimport (\n\t\"os\"\n\n\t\"example.net/cmp\"\n)\n",
		"rotator/draw.go":            "package rotator\n\nimport (\n\t\"context\"\n\t\"time\"\n\n\t\"" + module + "\"\n\t\"example.net/cron\"\n)\n\nvar _ = time.Now\n",
		"rotator/draw_test.go":       "package rotator\n\nimport \"" + module + "/rotator/hub\"\n",
		"rotator/hub/hub.go":         "package hub\n\nimport \"" + module + "\"\n",
		"rotator/rotator.go":         "package rotator\n\nimport \"" + module + "/rotator/placement\"\n",
		"providers/aws/aws.go":       "package aws\n\nimport \"" + module + "\"\n",
		"providers/aws/aws_test.go":  "package aws\n\nimport (\n\t\"os/exec\"\n\n\t\"" + module + "/providers/fakes/ec2fake\"\n)\n",
		"hostagent/ipset/runner.go":  "package ipset\n\nimport \"os/exec\"\n",
		"hostagent/kerneltest/x.go":  "package kerneltest\n\nimport \"" + module + "/hostagent/netlab\"\n",
		"hostagent/netlab/lab.go":    "package netlab\n\nimport \"os/exec\"\n",
		"cmd/internal/demo/world.go": "package demo\n\nimport (\n\t\"os/exec\"\n\n\t\"" + module + "/hostagent/netlab\"\n)\n",
		"cmd/tool/main.go":           "package main\n\nimport (\n\t\"os\"\n\t\"os/signal\"\n\n\t\"" + module + "/rotator\"\n)\n\nfunc main() { os.Exit(0) }\n",
		"testdata/wrong.go":          "no Go at all",
		".cache/wrong.go":            "no Go at all",
		"docs/README.md":             "no Go at all",
	}
}

func check(t *testing.T, files map[string]string) []string {
	t.Helper()
	disk := fstest.MapFS{}
	for name, text := range files {
		disk[name] = &fstest.MapFile{Data: []byte(text)}
	}
	breaches, err := Check(disk)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range breaches {
		got = append(got, b.String())
	}
	return got
}

func TestGoodTree(t *testing.T) {
	if got := check(t, tree()); len(got) > 0 {
		t.Errorf("a good tree: %s", strings.Join(got, "\n"))
	}
}

// Each case breaks one rule in the good tree.
func TestBreaches(t *testing.T) {
	long := strings.Repeat("\n", maxFunction-1)
	tests := []struct {
		file, text string
		want       []string
	}{
		{"utils/x.go", "package utils\n",
			[]string{"utils/x.go:1: code in utils: want it in one of cmd, docs, hostagent, packaging, providers, rotator"}},
		{"utils/x_test.go", "package utils\n",
			[]string{"utils/x_test.go:1: code in utils: want it in one of cmd, docs, hostagent, packaging, providers, rotator"}},
		{"x.go", "package portsnare\n\nimport \"example.net/x\"\n",
			[]string{"x.go:3: the domain imports example.net/x: want the standard library only"}},
		{"x.go", "package portsnare\n\nimport \"" + module + "/rotator\"\n", []string{
			"x.go:3: imports rotator: want . to know only the domain",
			"x.go:3: the domain imports " + module + "/rotator: want the standard library only"}},
		{"x.go", imports("portsnare", "context", "log", "log/slog", "net", "net/http", "net/netip", "os", "os/exec", "math/rand/v2", "crypto/rand", "crypto/sha256", "sync/atomic"), []string{
			"x.go:2: the domain imports context: want it to come in from outside",
			"x.go:3: the domain imports log: want it to come in from outside",
			"x.go:4: the domain imports log/slog: want it to come in from outside",
			"x.go:5: the domain imports net: want it to come in from outside",
			"x.go:6: the domain imports net/http: want it to come in from outside",
			"x.go:8: the domain imports os: want it to come in from outside",
			"x.go:9: the domain imports os/exec: want it to come in from outside",
			"x.go:9: imports os/exec: want programs run in hostagent/*/runner.go, hostagent/netlab/*.go, cmd/internal/demo/*.go only",
			"x.go:10: the domain imports math/rand/v2: want it to come in from outside",
			"x.go:11: the domain imports crypto/rand: want it to come in from outside",
			"x.go:13: the domain imports sync/atomic: want it to come in from outside"}},
		{"x.go", "package portsnare\n\nimport clock \"time\"\n\nvar t = clock.Now()\nvar d = clock.Until(t)\n", []string{
			"x.go:5: the domain calls time.Now: want the time as an argument",
			"x.go:6: the domain calls time.Until: want the time as an argument"}},
		{"x.go", "package portsnare\n\nfunc f() {\n\tgo f()\n}\n",
			[]string{"x.go:4: the domain starts a goroutine: want none here"}},
		{"rotator/x.go", "package rotator\n\nimport \"" + module + "/providers/aws\"\n",
			[]string{"rotator/x.go:3: imports providers/aws: want rotator to know only the domain"}},
		{"cmd/tool/x.go", "package main\n\nimport (\n\t\"" + module + "/providers/aws\"\n\t\"" + module + "/providers/fakes/ec2fake\"\n)\n",
			[]string{"cmd/tool/x.go:4: imports providers/aws: want providers known in cmd/internal/clouds only"}},
		{"cmd/internal/clouds/x.go", "package clouds\n\nimport (\n\t\"" + module + "/providers/aws\"\n\t\"" + module + "/providers/rest\"\n\t\"" + module + "/providers/none\"\n)\n",
			[]string{"cmd/internal/clouds/x.go:6: imports providers/none beside aws: want one provider a file"}},
		{"rotator/x.go", "package rotator\n\nimport \"" + module + "/rotator/hub\"\n",
			[]string{"rotator/x.go:3: imports its sibling rotator/hub: want both joined in cmd"}},
		{"rotator/hub/x.go", "package hub\n\nimport . \"" + module + "/rotator\"\n",
			[]string{"rotator/hub/x.go:3: imports its sibling rotator: want both joined in cmd"}},
		{"rotator/hub/x.go", "package hub\n\nimport \"" + module + "/rotator/placement\"\n",
			[]string{"rotator/hub/x.go:3: imports its sibling rotator/placement: want both joined in cmd"}},
		{"providers/aws/x.go", "package aws\n\nimport \"" + module + "/rotator/placement\"\n",
			[]string{"providers/aws/x.go:3: imports rotator/placement: want providers to know only the domain"}},
		{"hostagent/x.go", "package hostagent\n\nimport _ \"" + module + "/cmd/internal/cli\"\n",
			[]string{"hostagent/x.go:3: imports cmd/internal/cli: want hostagent to know only the domain"}},
		{"hostagent/ipset/x.go", "package ipset\n\nimport \"" + module + "/hostagent/kerneltest\"\n",
			[]string{"hostagent/ipset/x.go:3: imports its sibling hostagent/kerneltest: want both joined in cmd"}},
		{"providers/aws/x.go", "package aws\n\nimport \"" + module + "/providers/vultr\"\n",
			[]string{"providers/aws/x.go:3: imports its sibling providers/vultr: want both joined in cmd"}},
		{"hostagent/ipset/x.go", "package ipset\n\nimport \"os/exec\"\n",
			[]string{"hostagent/ipset/x.go:3: imports os/exec: want programs run in hostagent/*/runner.go, hostagent/netlab/*.go, cmd/internal/demo/*.go only"}},
		{"cmd/tool/x.go", "package main\n\nimport \"os/exec\"\n",
			[]string{"cmd/tool/x.go:3: imports os/exec: want programs run in hostagent/*/runner.go, hostagent/netlab/*.go, cmd/internal/demo/*.go only"}},
		{"rotator/x.go", "package rotator\n\nimport \"os/signal\"\n",
			[]string{"rotator/x.go:3: imports os/signal: want signals heard in cmd only"}},
		{"rotator/x.go", "package rotator\n\nfunc init() {}\n",
			[]string{"rotator/x.go:3: has an init function: want a constructor"}},
		{"rotator/x_test.go", "package rotator\n\nfunc init() {}\n",
			[]string{"rotator/x_test.go:3: has an init function: want a constructor"}},
		{"rotator/x.go", "package rotator\n\nfunc (r R) init() {}\n", nil},
		{"cmd/tool/x.go", "package main\n\nimport \"log\"\n\nfunc f() {\n\tlog.Fatalf(\"x\")\n\tlog.Print(\"x\")\n\tlog.Panicln()\n}\n", []string{
			"cmd/tool/x.go:6: calls log.Fatalf: want the error returned",
			"cmd/tool/x.go:8: calls log.Panicln: want the error returned"}},
		{"cmd/tool/x.go", "package main\n\nimport \"os\"\n\nfunc f() { os.Exit(1) }\n",
			[]string{"cmd/tool/x.go:5: calls os.Exit: want the error returned"}},
		{"rotator/x.go", "package rotator\n\nfunc f() {" + long + "}\n", nil},
		{"rotator/x.go", "package rotator\n\nfunc f() {" + long + "\n}\n",
			[]string{"rotator/x.go:3: f has 61 lines: want at most 60"}},
		{"rotator/x.go", "// Code generated by hand. DO NOT EDIT.\n\npackage rotator\n\nfunc f() {" + long + "\n}\n", nil},
		{"rotator/x_test.go", "package rotator\n\nfunc f() {" + long + "\n}\n", nil},
		{"rotator/x.go", "package rotator" + strings.Repeat("\n", maxFile), nil},
		{"rotator/x.go", "package rotator" + strings.Repeat("\n", maxFile+1),
			[]string{"rotator/x.go:1: has 401 lines: want at most 400"}},
	}
	for i, test := range tests {
		t.Run(fmt.Sprintf("%d %s", i, test.file), func(t *testing.T) {
			files := tree()
			files[test.file] = test.text
			if diff := cmp.Diff(test.want, check(t, files)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// imports returns a file that imports the packages given, from line 2 on.
func imports(name string, paths ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "package %s\n", name)
	for _, p := range paths {
		fmt.Fprintf(&b, "import %q\n", p)
	}
	return b.String()
}

func TestUnreadableSource(t *testing.T) {
	disk := fstest.MapFS{"x.go": &fstest.MapFile{Data: []byte("package\n")}}
	if _, err := Check(disk); err == nil || !strings.Contains(err.Error(), "x.go:1:") {
		t.Errorf("error %v: want one that names the place", err)
	}
}
