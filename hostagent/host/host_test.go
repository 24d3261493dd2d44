package host

import (
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }

// TestForwards: a host that neither routes nor bridges is asked for nothing more.
func TestForwards(t *testing.T) {
	const (
		routes4 = "/proc/sys/net/ipv4/conf/lo/forwarding"
		routes6 = "/proc/sys/net/ipv6/conf/all/forwarding"
		sees4   = "/proc/sys/net/bridge/bridge-nf-call-iptables"
		sees6   = "/proc/sys/net/bridge/bridge-nf-call-ip6tables"
	)
	for _, tt := range []struct {
		name   string
		on     []string
		off    []string
		bridge bool
		want   [2]bool
	}{
		{name: "a server"},
		{name: "a server, with bridges in sight and none there", on: []string{sees4, sees6}},
		{name: "a bridge out of sight", off: []string{sees4, sees6}, bridge: true},
		{name: "a bridge in sight", on: []string{sees4, sees6}, bridge: true, want: [2]bool{true, true}},
		{name: "a bridge in sight of IPv6", on: []string{sees6}, off: []string{sees4}, bridge: true, want: [2]bool{false, true}},
		{name: "a router on one interface", on: []string{routes4}, want: [2]bool{true, false}},
		{name: "an IPv6 router", on: []string{routes6}, want: [2]bool{false, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range append(tt.on, tt.off...) {
				if _, err := os.Stat(path); err != nil {
					t.Skipf("br_netfilter is not loaded: %v", err)
				}
			}
			err := netlab.New(t).Namespace("host").Do(func() error {
				set(t, tt.on, "1")
				set(t, tt.off, "0")
				if tt.bridge {
					addBridge(t)
				}
				got, err := Forwards()
				if got != tt.want {
					t.Errorf("Forwards() = %v, want %v", got, tt.want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func set(t *testing.T, paths []string, value string) {
	t.Helper()
	for _, path := range paths {
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			t.Error(err)
		}
	}
}

func addBridge(t *testing.T) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		t.Error(err)
	}
}
