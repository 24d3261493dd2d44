package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

// TestKinds has the real programs refuse what they are given.
func TestKinds(t *testing.T) {
	const rules = "*raw\n:OURS - [0:0]\n-A OURS %s -j DROP\nCOMMIT\n"
	tests := []struct {
		name, input, program string
		args                 []string
		want                 portsnare.Kind
	}{
		{"a type of set that ipset lacks", "create a hash:nosuch\n", "ipset", []string{"restore"}, portsnare.Unavailable},
		{"a command that ipset lacks", "nosuch a\n", "ipset", []string{"restore"}, portsnare.Invalid},
		{"an entry that is none", "create b hash:ip\nadd b 192.0.2.1.1\n", "ipset", []string{"restore"}, portsnare.Invalid},
		{"a set that is not there", "add nosuch 192.0.2.1\n", "ipset", []string{"restore"}, portsnare.Conflict},
		{"a set that is full", "create c hash:ip hashsize 64 maxelem 1\nadd c 192.0.2.1\nadd c 192.0.2.2\n", "ipset", []string{"restore"}, portsnare.LimitExceeded},
		{"a match that iptables-nft lacks", strings.Replace(rules, "%s", "-m nosuch", 1), "iptables-nft-restore", []string{"--noflush"}, portsnare.Unavailable},
		{"a match that iptables-legacy lacks", strings.Replace(rules, "%s", "-m nosuch", 1), "iptables-legacy-restore", []string{"--noflush"}, portsnare.Unavailable},
		{"an option that iptables-nft lacks", strings.Replace(rules, "%s", "--nosuch", 1), "iptables-nft-restore", []string{"--noflush"}, portsnare.Invalid},
		{"an option that iptables-legacy lacks", strings.Replace(rules, "%s", "--nosuch", 1), "iptables-legacy-restore", []string{"--noflush"}, portsnare.Invalid},
		{"a set that iptables cannot find", strings.Replace(rules, "%s", "-m set --match-set nosuch src", 1), "iptables-nft-restore", []string{"--noflush"}, portsnare.Conflict},
		{"a line that is none", "nosuch\n", "iptables-legacy-restore", []string{"--noflush"}, portsnare.Invalid},
		{"a word that nft lacks", "add nosuch inet x\n", "nft", []string{"-f", "-"}, portsnare.Invalid},
		{"a table that nft cannot find", "add element inet nosuch a { 192.0.2.1 }\n", "nft", []string{"-f", "-"}, portsnare.Conflict},
		{"a set of nft that is full", "add table ip x\nadd set ip x a { type ipv4_addr; size 1; flags dynamic; }\n" +
			"add element ip x a { 192.0.2.1, 192.0.2.2 }\n", "nft", []string{"-f", "-"}, portsnare.LimitExceeded},
		{"a program that is not there", "", "nosuch-program", nil, portsnare.Unavailable},
	}
	ns := netlab.New(t).Namespace("host")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !(Tools{}).Installed(test.program) && test.program != "nosuch-program" && os.Getenv(netlab.RequiredEnv) == "" {
				t.Skipf("%s is not installed", test.program)
			}
			err := ns.Do(func() error {
				_, err := Tools{Hint: "hint"}.Start(t.Context(), test.input, test.program, test.args...)()
				return err
			})
			if portsnare.KindOf(err) != test.want || portsnare.HintOf(err) == "" {
				t.Errorf("%v (kind %q, hint %q), want %s with a hint", err, portsnare.KindOf(err), portsnare.HintOf(err), test.want)
			}
		})
	}
}

// stub writes a program that says something and fails.
func stub(t *testing.T, script string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "stub")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestKindsOfStubs: what cannot be had here without much ado. The words are those of
// iptables 1.8.9 and nft 1.0.6.
func TestKindsOfStubs(t *testing.T) {
	for said, want := range map[string]portsnare.Kind{
		"Another app is currently holding the xtables lock. Stopped waiting after 5s.":                             portsnare.Transient,
		"iptables-restore v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied":           portsnare.Denied,
		"netlink: Error: cache initialization failed: Operation not permitted":                                     portsnare.Denied,
		"iptables-restore v1.8.9 (nf_tables): \nline 3: RULE_APPEND failed (No such file or directory): rule in C": portsnare.Unavailable,
		"Warning: Extension socket revision 0 not supported, missing kernel module?":                               portsnare.Unavailable,
		"/dev/stdin:3:1-2: Error: Could not process rule: No such file or directory":                               portsnare.Unavailable,
		"ipset v7.17: Error in line 3: Set cannot be destroyed: it is in use by a kernel component":                portsnare.Conflict,
		"ipset v7.17: Cannot open session to kernel.":                                                              portsnare.Unavailable,
	} {
		_, err := Tools{Hint: "hint"}.Start(t.Context(), said, stub(t, "cat >&2; exit 1"))()
		if portsnare.KindOf(err) != want || portsnare.HintOf(err) == "" {
			t.Errorf("%q is %q with the hint %q, want %s", said, portsnare.KindOf(err), portsnare.HintOf(err), want)
		}
	}
}

func TestGist(t *testing.T) {
	for said, want := range map[string]string{
		"":           "",
		"one\ntwo\n": "one",
		"iptables-restore v1.8.9 (nf_tables): \nline 3: RULE_APPEND failed\nmore\n": "iptables-restore v1.8.9 (nf_tables): line 3: RULE_APPEND failed",
		"\nfirst:\n": "first:",
	} {
		if got := gist(said); got != want {
			t.Errorf("gist(%q) = %q, want %q", said, got, want)
		}
	}
}

// TestSlowProgram: one that takes too long may succeed another time; one that is
// not wanted any more has not failed.
func TestSlowProgram(t *testing.T) {
	slow := stub(t, "exec sleep 60")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := (Tools{}).Start(ctx, "", slow)(); !errors.Is(err, portsnare.Transient) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("too slow: %v, want transient", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := (Tools{}).Start(ctx, "", slow)(); !errors.Is(err, context.Canceled) || portsnare.KindOf(err) != "" {
		t.Errorf("not wanted: %v, want canceled", err)
	}
}

// TestLock: one process at a time, and nobody waits for ever.
func TestLock(t *testing.T) {
	release := Lock(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	Lock(ctx)() // waits until ctx ends, and goes on without
	if ctx.Err() == nil {
		t.Error("two had the lock at a time")
	}
	release()
	Lock(t.Context())()
}
