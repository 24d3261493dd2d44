package agentcmd

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }

// testOrder has ten traps.
func testOrder() kernel.State {
	return kernel.State{Order: portsnare.Order{
		Host: "web-1", Group: "web", Generation: 1, Policy: portsnare.DefaultPolicy(),
		Traps: portsnare.Traps{Secret: portsnare.NewPortSet(portsnare.PortRange{Protocol: portsnare.TCP, From: 4000, To: 4009})},
	}}
}

// TestSuccessor: whoever takes over leaves nothing of the other backend behind,
// in either direction, and the bans that the order carries live on.
func TestSuccessor(t *testing.T) {
	ns := netlab.New(t).Namespace("host")
	source := netip.MustParsePrefix("198.51.100.7/32")
	order := testOrder()
	order.Bans = []portsnare.Ban{{Source: source, Until: time.Now().Add(time.Hour)}}
	if err := ns.Do(func() error {
		for _, name := range []string{"ipset", "nftables", "ipset"} {
			chosen, err := choose(t.Context(), name)
			if err != nil {
				return err
			}
			if _, err := chosen.Set(t.Context(), order); err != nil {
				return err
			}
			for _, b := range backends() {
				bans, err := b.Bans(t.Context())
				if err != nil {
					return err
				}
				if got := len(bans) == 1 && bans[0].Source == source; got != (b.name == name) {
					t.Errorf("%s was chosen, and %s has %v", name, b.name, bans)
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestChooseRefuses(t *testing.T) {
	if _, err := choose(t.Context(), "pf"); !errors.Is(err, portsnare.Invalid) || portsnare.HintOf(err) == "" {
		t.Errorf("choose(pf) = %v, want invalid with a hint", err)
	}
}

// TestFlushRulesOut: where the programs that armed something are gone, flush
// does not claim that nothing is left.
func TestFlushRulesOut(t *testing.T) {
	ns := netlab.New(t).Namespace("host")
	flush := func() error {
		command := newFlush(&app{state: t.TempDir()})
		command.SetArgs(nil)
		command.SetOut(io.Discard)
		return ns.Do(func() error { return command.ExecuteContext(t.Context()) })
	}
	err := ns.Do(func() error {
		chosen, err := choose(t.Context(), "ipset")
		if err != nil {
			return err
		}
		_, err = chosen.Set(t.Context(), testOrder())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("with nft alone", func(t *testing.T) {
		dir := t.TempDir()
		nft, err := exec.LookPath("nft")
		if err := errors.Join(err, os.Symlink(nft, filepath.Join(dir, "nft"))); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir)
		if err := flush(); !errors.Is(err, portsnare.Unavailable) || portsnare.HintOf(err) == "" {
			t.Errorf("flush: %v, want unavailable with a hint", err)
		}
	})
	if err := flush(); err != nil {
		t.Errorf("flush with all programs: %v", err)
	}
}

// TestSuccessorOfWhoDoesNotWork: what another backend has armed is not forgotten
// because that backend does not work any more.
func TestSuccessorOfWhoDoesNotWork(t *testing.T) {
	ns := netlab.New(t).Namespace("host")
	set := func(name string) (err error) {
		return ns.Do(func() error {
			chosen, err := choose(t.Context(), name)
			if err != nil {
				return err
			}
			_, err = chosen.Set(t.Context(), testOrder())
			return err
		})
	}
	if err := set("ipset"); err != nil {
		t.Fatal(err)
	}
	rule := ns.Command(t.Context(), "nft", "add", "rule", "ip", "mangle", "PREROUTING", "meta", "mark", "set", "numgen", "random", "mod", "4")
	if said, err := rule.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if err := set("auto"); !errors.Is(err, portsnare.Conflict) || portsnare.HintOf(err) == "" {
		t.Errorf("Set of the successor: %v, want a conflict with a hint", err)
	}
}
