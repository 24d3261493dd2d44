package packaging

import (
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// clock is what runs on in the kernel by itself.
var clock = regexp.MustCompile(`timeout \d+|expires \w+`)

// armed returns what is in the kernel, but not how long it has to stay there.
func (h *host) armed() map[string]string {
	h.t.Helper()
	found := h.kernel()
	for where, text := range found {
		found[where] = clock.ReplaceAllString(text, "")
	}
	return found
}

func (h *host) wantKernel(when string, want, got map[string]string) {
	h.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		h.t.Errorf("%s (-before +after):\n%s", when, diff)
	}
}

// TestLifeOfAgent: from installation to purge by the real dpkg. Whatever stops or
// replaces the agent leaves traps and bans where they are, and only removal takes
// them out of the kernel, down to the last byte.
func TestLifeOfAgent(t *testing.T) {
	banned := netip.MustParsePrefix("198.51.100.7/32")
	for _, backend := range []string{"ipset", "nftables"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			older, newer := deb(t, older), deb(t, newer)
			h := newHost(t)
			found := h.kernel()

			h.dpkg("--install", older)
			h.wantKernel("installed", found, h.kernel())

			h.join(banned)
			stop := h.start(backend)
			armed := h.armed()
			if cmp.Equal(armed, found) {
				t.Fatal("nothing is armed")
			}
			if all := strings.Join([]string{armed["ipset save"], armed["nft list ruleset"]}, ""); !strings.Contains(all, banned.Addr().String()) {
				t.Fatalf("%s is not shut out:\n%s", banned, all)
			}

			// As with systemd, where the old agent runs until the new one is there.
			h.check(h.prerm("upgrade", "1.0.0"))
			h.dpkg("--install", newer)
			h.wantKernel("upgraded", armed, h.armed())
			stop()
			h.wantKernel("stopped", armed, h.armed())
			h.start(backend)()
			h.wantKernel("started anew", armed, h.armed())

			h.check(h.prerm("remove"))
			h.wantKernel("removed", found, h.kernel())
			h.check(h.prerm("remove"))
			h.wantKernel("removed again", found, h.kernel())
			h.dpkg("--remove", "portsnare-agent")
			if _, err := os.Stat(h.path(stateDir)); err != nil {
				t.Errorf("removal does more than purge should: %v", err)
			}

			h.dpkg("--purge", "portsnare-agent")
			h.wantKernel("purged", found, h.kernel())
			if left := h.named("portsnare"); len(left) > 0 {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}

// named returns the files of the host whose name contains word, but not what
// dpkg knows of them.
func (h *host) named(word string) (paths []string) {
	h.t.Helper()
	h.check(filepath.WalkDir(h.root, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path == h.path("var/lib/dpkg") {
			return fs.SkipDir
		}
		if strings.Contains(filepath.Base(path), word) {
			paths = append(paths, path)
		}
		return err
	}))
	return paths
}

// TestRemovalThatCannotFlush: whatever may be in the kernel is not left there in
// silence; where nothing ever was, the package goes.
func TestRemovalThatCannotFlush(t *testing.T) {
	h := newHost(t)
	h.dpkg("--install", deb(t, newer))
	h.join(netip.MustParsePrefix("198.51.100.7/32"))
	path := os.Getenv("PATH")
	t.Setenv("PATH", t.TempDir())
	if err := h.prerm("remove"); err != nil {
		t.Errorf("nothing was ever armed: %v", err)
	}
	t.Setenv("PATH", path)
	h.start("ipset")()
	t.Setenv("PATH", t.TempDir())
	if err := h.prerm("remove"); err == nil || !strings.Contains(err.Error(), "hint: ") {
		t.Errorf("prerm remove = %v, want an error that says what to do", err)
	}
}

// TestContent: what is in the package, whose it is, and who may do what with it.
func TestContent(t *testing.T) {
	want := map[string]string{
		"./usr/bin/portsnare-agent":                                  "-rwxr-xr-x root/root",
		"./usr/lib/systemd/system/portsnare-agent.service":           "-rw-r--r-- root/root",
		"./usr/share/bash-completion/completions/portsnare-agent":    "-rw-r--r-- root/root",
		"./usr/share/doc/portsnare-agent/CHANGELOG.md":               "-rw-r--r-- root/root",
		"./usr/share/doc/portsnare-agent/copyright":                  "-rw-r--r-- root/root",
		"./usr/share/doc/portsnare-agent/install.md":                 "-rw-r--r-- root/root",
		"./usr/share/fish/vendor_completions.d/portsnare-agent.fish": "-rw-r--r-- root/root",
		"./usr/share/zsh/vendor-completions/_portsnare-agent":        "-rw-r--r-- root/root",
	}
	out, err := exec.Command("dpkg-deb", "--contents", deb(t, newer)).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name := fields[len(fields)-1]
		switch mode := fields[0] + " " + fields[1]; {
		case !strings.HasSuffix(name, "/"):
			got[name] = mode
		case mode != "drwxr-xr-x root/root":
			t.Errorf("%s %s", mode, name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestReproducible: the same source gives the same bytes.
func TestReproducible(t *testing.T) {
	first := deb(t, newer)
	dir := t.TempDir()
	if err := build(dir, newer); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, filepath.Base(first)))
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("%s differs when it is built again", filepath.Base(first))
	}
}

// optional skips a test for want of a program that only says what it thinks.
func optional(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("not installed: %v", err)
	}
}

// program is what a unit starts; no unit finds it before it is installed.
var program = regexp.MustCompile(`(?m)^(Exec\w+=[-+]*)\S+`)

// TestUnits: systemd understands every line of the units.
func TestUnits(t *testing.T) {
	optional(t, "systemd-analyze")
	for _, unit := range []string{"portsnare.service", "portsnare-agent.service"} {
		text, err := os.ReadFile(filepath.Join("systemd", unit))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), unit)
		if err := os.WriteFile(path, program.ReplaceAll(text, []byte("${1}/bin/true")), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path).CombinedOutput(); err != nil {
			t.Errorf("systemd-analyze verify %s: %v\n%s", unit, err, out)
		}
	}
}

// TestScripts: what shellcheck thinks.
func TestScripts(t *testing.T) {
	optional(t, "shellcheck")
	scripts, err := filepath.Glob("debian/*")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"build"}
	for _, script := range scripts {
		if !strings.HasSuffix(script, ".control") {
			args = append(args, script)
		}
	}
	if out, err := exec.Command("shellcheck", args...).CombinedOutput(); err != nil {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}
