package kerneltest

import (
	"bytes"
	"context"
	"embed"
	"regexp"
	"slices"
	"strings"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// snapshot is all that somebody could find of us, by where he finds it, without
// what changes by itself.
func (w *world) snapshot() map[string]string {
	w.t.Helper()
	parameters, err := w.Server.Parameters("/proc/sys/net")
	w.check(err)
	found := map[string]string{
		"ipset save":        sorted(settled(w.output("ipset", "save")), "\n"),
		"nft list ruleset":  sortedTables(settled(w.output("nft", "list", "ruleset"))),
		"parameters of net": parameters,
	}
	for _, program := range []string{"iptables-nft-save", "iptables-legacy-save", "ip6tables-nft-save", "ip6tables-legacy-save"} {
		found[program] = filled(w.output(program))
	}
	return found
}

// passing is what time and traffic change, whoever looks, and the seeds of
// hashes.
var passing = regexp.MustCompile(`( timeout \S+)? expires [0-9a-z]+|(?m:^(add .*) timeout \d+)| packets \d+ bytes \d+| initval 0x[0-9a-f]+`)

// settled returns a listing without what passes.
func settled(listing string) string { return passing.ReplaceAllString(listing, "$2") }

// filled returns the tables of iptables in which there is anything: it makes
// empty ones as it looks at them.
func filled(save string) string {
	const end = "COMMIT\n"
	tables := strings.SplitAfter(save, end)
	tables = slices.DeleteFunc(tables, func(table string) bool {
		return !strings.Contains(table, "\n-") && !strings.Contains(table, " -\n") && !strings.Contains(table, " DROP\n")
	})
	slices.Sort(tables)
	return strings.Join(tables, "")
}

// sorted returns the parts of a listing in an order of their own: it depends on
// what was there before.
func sorted(listing, between string) string {
	parts := strings.Split(listing, between)
	slices.Sort(parts)
	return strings.Join(parts, between)
}

// sortedTables sorts the tables of nft, and what is in each.
func sortedTables(ruleset string) string {
	const end = "\n}\n"
	var b strings.Builder
	for table := range strings.SplitSeq(sorted(ruleset, end), end) {
		name, body, _ := strings.Cut(table, "\n")
		b.WriteString(name + "\n" + sorted(body, "\n\n") + end)
	}
	return b.String()
}

//go:embed testdata/foreign.*
var others embed.FS

// foreign loads what others would have on the server.
func (w *world) foreign() {
	w.t.Helper()
	w.check(Foreign(w.soon(), w.Server))
}

// Foreign loads what ufw, firewalld, Docker and others would have on a host.
func Foreign(ctx context.Context, host *netlab.Namespace) error {
	for file, program := range map[string][]string{
		"testdata/foreign.ipset":     {"ipset", "restore"},
		"testdata/foreign.iptables":  {"iptables-restore"},
		"testdata/foreign.ip6tables": {"ip6tables-restore"},
		"testdata/foreign.nft":       {"nft", "-f", "-"},
	} {
		text, err := others.ReadFile(file)
		if err != nil {
			return err
		}
		cmd := host.Command(ctx, program[0], program[1:]...)
		cmd.Stdin = bytes.NewReader(text)
		if _, err := cmd.Output(); err != nil {
			return err
		}
	}
	return host.Sysctl("net.ipv4.ip_local_reserved_ports", "1003,30000-30009")
}
