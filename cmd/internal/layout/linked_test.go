package layout

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// clouds are what speaks to a cloud: the SDKs, what they are made of, and the
// packages of ours that use them.
var clouds = []string{
	"github.com/aws/", "github.com/digitalocean/", "github.com/gophercloud/", "github.com/vultr/",
	module + "/providers/",
}

func linkedClouds(t *testing.T, folder string) []string {
	t.Helper()
	linked, err := Linked(os.DirFS("../../.."), folder)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(linked, func(p string) bool {
		return !slices.ContainsFunc(clouds, func(cloud string) bool { return strings.HasPrefix(p, cloud) })
	})
}

// TestAgentKnowsNoCloud: no server carries a cloud SDK.
func TestAgentKnowsNoCloud(t *testing.T) {
	if got := linkedClouds(t, "cmd/portsnare-agent"); len(got) > 0 {
		t.Errorf("portsnare-agent is linked with %s", strings.Join(got, ", "))
	}
	// That the controller is linked with all of them shows that they are found.
	got := linkedClouds(t, "cmd/portsnare")
	for _, cloud := range clouds {
		if !slices.ContainsFunc(got, func(p string) bool { return strings.HasPrefix(p, cloud) }) {
			t.Errorf("portsnare is not linked with %s...", cloud)
		}
	}
}

func TestLinked(t *testing.T) {
	tree := fstest.MapFS{
		"root.go":         {Data: []byte("package portsnare\nimport \"fmt\"")},
		"cmd/a/main.go":   {Data: []byte("package main\nimport \"" + module + "/b\"\nimport _ \"" + module + "/c\"")},
		"cmd/a/m_test.go": {Data: []byte("package main\nimport \"" + module + "/d\"")},
		"b/b.go":          {Data: []byte("package b\nimport (\n\"example.net/sdk\"\n\"" + module + "\"\n)")},
		"c/c_windows.go":  {Data: []byte("package c\nimport \"" + module + "/b\"")},
	}
	got, err := Linked(tree, "cmd/a")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"example.net/sdk", "fmt", module, module + "/b", module + "/c"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	for _, folder := range []string{"cmd/nothing", "cmd"} {
		if _, err := Linked(tree, folder); err == nil {
			t.Errorf("%s: no error, want one that there is no package", folder)
		}
	}
}
