package host

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// run runs a program in the namespace with some input.
func run(t *testing.T, ns *netlab.Namespace, input, program string, args ...string) {
	t.Helper()
	cmd := ns.Command(context.Background(), program, args...)
	cmd.Stdin = strings.NewReader(input)
	said, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound) && os.Getenv(netlab.RequiredEnv) == "":
		t.Skipf("not installed: %v", err)
	case err != nil:
		t.Fatalf("%s: %v: %s", program, err, said)
	}
}

const rules = `
add table inet portsnare
add chain inet portsnare early { type filter hook prerouting priority 0; }
add table ip others
add chain ip others PORTSNARE_TRAP
add rule ip others PORTSNARE_TRAP accept
add chain ip others input { type filter hook input priority 0; policy drop; }
add chain ip others idle { type filter hook input priority 1; }
`

func TestTraces(t *testing.T) {
	ns := netlab.New(t).Namespace("host")
	traces := func() (found []Trace) {
		t.Helper()
		err := ns.Do(func() (err error) {
			found, err = Traces("portsnare")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := traces(); len(found) > 0 {
		t.Errorf("traces in a new namespace: %v", found)
	}
	run(t, ns, rules, "nft", "-f", "-")
	run(t, ns, "create portsnare_ban4 hash:ip\ncreate portsnared hash:ip\n", "ipset", "restore")
	want := []Trace{{ChainKind, "PORTSNARE_TRAP"}, {SetKind, "portsnare_ban4"}, {TableKind, "portsnare"}}
	if found := traces(); !slices.Equal(found, want) {
		t.Errorf("traces %v, want %v", found, want)
	}
}

func TestRemove(t *testing.T) {
	ns := netlab.New(t).Namespace("host")
	run(t, ns, rules, "nft", "-f", "-")
	of := func(name string) Chain { return Chain{Family: unix.NFPROTO_IPV4, Table: "others", Name: name} }
	err := ns.Do(func() error {
		var kernel Netfilter
		before, err := kernel.Generation()
		if err != nil {
			return err
		}
		idle, err := kernel.Chains()
		if want := map[Chain]bool{
			{Family: unix.NFPROTO_INET, Table: "portsnare"}:                false,
			{Family: unix.NFPROTO_INET, Table: "portsnare", Name: "early"}: true,
			of(""): false, of("PORTSNARE_TRAP"): false, of("input"): false, of("idle"): true,
		}; err != nil || !maps.Equal(idle, want) {
			t.Errorf("chains %v, %v; want %v", idle, err, want)
		}
		if err := kernel.Remove([]Chain{of("idle"), of("PORTSNARE_TRAP")}); !errors.Is(err, unix.EBUSY) {
			t.Errorf("removal of a chain with a rule: %v, want busy", err)
		}
		if err := kernel.Remove([]Chain{of("idle"), of("")}); !errors.Is(err, unix.EBUSY) {
			t.Errorf("removal of a table with chains: %v, want busy", err)
		}
		if err := kernel.Remove([]Chain{of("idle")}); err != nil {
			t.Errorf("removal of an idle chain: %v", err)
		}
		after, err := kernel.Generation()
		if after != before+1 {
			t.Errorf("generation %d after one change, was %d", after, before)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
