package reference

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare/cmd/internal/config"
)

func tree() *cobra.Command {
	root := &cobra.Command{Use: "tool", Short: "A tool", Long: "It does\ntwo things."}
	root.PersistentFlags().StringP("config", "c", "", "the `FILE` to read (default $TOOL|/etc/tool)")
	run := func(*cobra.Command, []string) {}
	enroll := &cobra.Command{Use: "enroll HOST", Short: "Let a host in", Run: run}
	enroll.Flags().Bool("renew", false, "again")
	enroll.Flags().Int("times", 3, "how often")
	hidden := &cobra.Command{Use: "secret", Short: "Not to be told", Hidden: true, Run: run}
	root.AddCommand(enroll, hidden)
	return root
}

func TestCommands(t *testing.T) {
	other := &cobra.Command{Use: "other", Short: "Another tool", Run: func(*cobra.Command, []string) {}}
	want := "## tool\n\nA tool.\n\nIt does\ntwo things.\n\n" +
		"| Flag | Default | Meaning |\n|---|---|---|\n" +
		"| `-c, --config FILE` |   | the FILE to read (default $TOOL\\|/etc/tool) |\n\n" +
		"### tool enroll\n\nLet a host in.\n\n    tool enroll HOST [flags]\n\n" +
		"| Flag | Default | Meaning |\n|---|---|---|\n" +
		"| `--renew` |   | again |\n| `--times int` | `3` | how often |\n\n" +
		"## other\n\nAnother tool.\n\n    other\n\n"
	if diff := cmp.Diff(want, Commands(tree(), other)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestConfiguration(t *testing.T) {
	got := Configuration([]config.Key{
		{Name: "state", Want: "a path", Default: "/var", Doc: "Where."},
		{Name: "hosts", Want: "a list", Required: true, Doc: "Who."},
		{Name: "allow", Want: "a list", Doc: "Whom."},
	})
	want := "| Key | Takes | Default | Meaning |\n|---|---|---|---|\n" +
		"| `state` | a path | `/var` | Where. |\n| `hosts` | a list | required | Who. |\n| `allow` | a list |   | Whom. |\n\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

const page = `# Reference

<!-- begin a, generated -->
old
<!-- end a -->
By hand.
<!-- begin b, generated -->
<!-- end b -->
`

func TestSync(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reference.md")
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Sync(path, "a", "new\n", false); err == nil || !strings.Contains(err.Error(), `"a" is out of date`) {
		t.Errorf("a section out of date: error %v: want one that says so", err)
	}
	if err := Sync(path, "c", "new\n", true); err == nil || !strings.Contains(err.Error(), `no section "c"`) {
		t.Errorf("a section that is not there: error %v: want one that says so", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != page {
		t.Errorf("refusals left\n%s, %v\nwant the file unchanged", text, err)
	}
	var both sync.WaitGroup
	for name, text := range map[string]string{"a": "new\n", "b": "fresh"} {
		both.Go(func() {
			if err := Sync(path, name, text, true); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	want := "# Reference\n\n<!-- begin a, generated -->\n\nnew\n\n<!-- end a -->\nBy hand.\n" +
		"<!-- begin b, generated -->\n\nfresh\n\n<!-- end b -->\n"
	text, err := os.ReadFile(path)
	if diff := cmp.Diff(want, string(text)); diff != "" || err != nil {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
	if err := Sync(path, "a", "new\n", false); err != nil {
		t.Errorf("a section up to date: %v", err)
	}
	if err := Sync(filepath.Join(t.TempDir(), "none.md"), "a", "", true); !os.IsNotExist(err) {
		t.Errorf("no file: error %v", err)
	}
}
