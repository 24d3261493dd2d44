package agentcmd

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }

// TestSuccessor: whoever takes over leaves nothing of the other backend behind,
// in either direction, and the bans that the order carries live on.
func TestSuccessor(t *testing.T) {
	ns := netlab.New(t).Namespace("host")
	source := netip.MustParsePrefix("198.51.100.7/32")
	order := portsnare.Order{
		Host: "web-1", Group: "web", Generation: 1, Policy: portsnare.DefaultPolicy(),
		Traps: portsnare.Traps{Secret: portsnare.NewPortSet(portsnare.PortRange{Protocol: portsnare.TCP, From: 4000, To: 4009})},
		Bans:  []portsnare.Ban{{Source: source, Until: time.Now().Add(time.Hour)}},
	}
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
