//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"net/netip"
)

// The addresses of a Topology.
var (
	// ScannerNet4 and ScannerNet6 belong to the scanner, every address of them:
	// each scan and each innocent client can come from one of its own.
	ScannerNet4 = netip.MustParsePrefix("198.51.100.0/24")
	ScannerNet6 = netip.MustParsePrefix("2001:db8:51::/48")

	// ScannerAddr4 and ScannerAddr6 are where the scanner's packets come from
	// unless the sender says otherwise.
	ScannerAddr4 = netip.MustParseAddr("198.51.100.1")
	ScannerAddr6 = netip.MustParseAddr("2001:db8:51::1")

	// ServerNet4 and ServerNet6 are on the server's link.
	ServerNet4 = netip.MustParsePrefix("203.0.113.0/24")
	ServerNet6 = netip.MustParsePrefix("2001:db8:cb::/64")

	// ServerAddr4 and ServerAddr6 are the server's.
	ServerAddr4 = netip.MustParseAddr("203.0.113.10")
	ServerAddr6 = netip.MustParseAddr("2001:db8:cb::10")

	// GatewayAddr4 and GatewayAddr6 are the cloud's, on the server's link.
	GatewayAddr4 = netip.MustParseAddr("203.0.113.1")
	GatewayAddr6 = netip.MustParseAddr("2001:db8:cb::1")
)

// The link between scanner and cloud has networks of its own, so that no
// neighbour has to be found for an address of the scanner's.
var (
	scannerLink4 = netip.MustParsePrefix("192.0.2.1/30")
	scannerLink6 = netip.MustParsePrefix("2001:db8:2::1/64")
	outsideLink4 = netip.MustParsePrefix("192.0.2.2/30")
	outsideLink6 = netip.MustParsePrefix("2001:db8:2::2/64")
)

// The interfaces of a Topology.
const (
	Eth0    = "eth0"    // of the scanner and of the server
	Outside = "outside" // of the cloud, towards the scanner
	Inside  = "inside"  // of the cloud, towards the server
)

// Topology is three namespaces in a row, for IPv4 and IPv6:
//
//	scanner eth0 ──── outside cloud inside ──── eth0 server
//	198.51.100.0/24      (routes)               203.0.113.10
//	2001:db8:51::/48                            2001:db8:cb::10
//
// There is no firewall anywhere; the cloud is where one is put.
type Topology struct {
	Scanner, Cloud, Server *Namespace
}

// NewTopology builds the three namespaces. The caller must Close them.
func NewTopology() (*Topology, error) {
	t := new(Topology)
	if err := t.build(); err != nil {
		t.Close()
		return nil, fmt.Errorf("build laboratory: %w", err)
	}
	return t, nil
}

// Close closes the three namespaces.
func (t *Topology) Close() error {
	var errs []error
	for _, ns := range []*Namespace{t.Scanner, t.Cloud, t.Server} {
		if ns != nil {
			errs = append(errs, ns.Close())
		}
	}
	return errors.Join(errs...)
}

func (t *Topology) build() error {
	return inOrder(
		func() error { return newInto(&t.Scanner, "scanner") },
		func() error { return newInto(&t.Cloud, "cloud") },
		func() error { return newInto(&t.Server, "server") },
		func() error { return Link(t.Scanner, Eth0, t.Cloud, Outside) },
		func() error { return Link(t.Server, Eth0, t.Cloud, Inside) },
		t.buildScanner, t.buildCloud, t.buildServer,
	)
}

func (t *Topology) buildScanner() error {
	s := t.Scanner
	return inOrder(
		func() error { return s.Addr(Eth0, scannerLink4, scannerLink6) },
		func() error { return s.Addr(Eth0, single(ScannerAddr4), single(ScannerAddr6)) },
		func() error { return s.AnyIP(ScannerNet4) },
		func() error { return s.AnyIP(ScannerNet6) },
		func() error { return s.DefaultRoute(outsideLink4.Addr(), ScannerAddr4) },
		func() error { return s.DefaultRoute(outsideLink6.Addr(), ScannerAddr6) },
	)
}

func (t *Topology) buildCloud() error {
	c := t.Cloud
	return inOrder(
		c.Forward,
		func() error { return c.Addr(Outside, outsideLink4, outsideLink6) },
		func() error { return c.Addr(Inside, on(GatewayAddr4, ServerNet4), on(GatewayAddr6, ServerNet6)) },
		func() error { return c.Route(ScannerNet4, scannerLink4.Addr()) },
		func() error { return c.Route(ScannerNet6, scannerLink6.Addr()) },
	)
}

func (t *Topology) buildServer() error {
	s := t.Server
	return inOrder(
		func() error { return s.Addr(Eth0, on(ServerAddr4, ServerNet4), on(ServerAddr6, ServerNet6)) },
		func() error { return s.DefaultRoute(GatewayAddr4, netip.Addr{}) },
		func() error { return s.DefaultRoute(GatewayAddr6, netip.Addr{}) },
	)
}

// inOrder runs the steps until one fails.
func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func newInto(ns **Namespace, name string) (err error) {
	*ns, err = NewNamespace(name)
	return err
}

// single is the prefix of one address.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// on is an address with the length of the network that is on its link.
func on(a netip.Addr, network netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(a, network.Bits())
}
