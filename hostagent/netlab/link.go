//go:build linux

package netlab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link joins two namespaces by a virtual cable: a pair of veth interfaces,
// aIf in a and bIf in b, both up. Neither exists anywhere else for a moment.
func Link(a *Namespace, aIf string, b *Namespace, bIf string) error {
	pair := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: aIf},
		PeerName:      bIf,
		PeerNamespace: netlink.NsFd(b.handle),
	}
	if err := a.nl.LinkAdd(pair); err != nil {
		return fmt.Errorf("link %s/%s to %s/%s: %w", a.Name, aIf, b.Name, bIf, err)
	}
	if err := b.up(bIf); err != nil {
		return err
	}
	return a.up(aIf)
}

// Addr adds addresses, each with the length of the network that is on the
// link, to an interface. IPv6 addresses are usable at once.
func (ns *Namespace) Addr(iface string, addrs ...netip.Prefix) error {
	link, err := ns.link(iface)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := ns.nl.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add address %s to %s/%s: %w", a, ns.Name, iface, err)
		}
	}
	return nil
}

// Route sends packets for dst through the neighbour via.
func (ns *Namespace) Route(dst netip.Prefix, via netip.Addr) error {
	return ns.route(&netlink.Route{Dst: ipNet(dst), Gw: via.AsSlice()})
}

// DefaultRoute sends all other packets of via's family through the neighbour
// via, from the address src unless their sender chose one. The zero src leaves
// that choice to the kernel.
func (ns *Namespace) DefaultRoute(via, src netip.Addr) error {
	all := netip.PrefixFrom(via, 0).Masked()
	return ns.route(&netlink.Route{Dst: ipNet(all), Gw: via.AsSlice(), Src: src.AsSlice()})
}

// AnyIP makes every address of a network one of the namespace's own: sockets
// may bind any of them and receive on it.
func (ns *Namespace) AnyIP(network netip.Prefix) error {
	lo, err := ns.link("lo")
	if err != nil {
		return err
	}
	if network.Addr().Is6() { // without it, IPv6 refuses to bind what no interface has
		if err := ns.Sysctl("net.ipv6.ip_nonlocal_bind", "1"); err != nil {
			return err
		}
	}
	return ns.route(&netlink.Route{
		LinkIndex: lo.Attrs().Index,
		Dst:       ipNet(network),
		Type:      unix.RTN_LOCAL,
		Table:     unix.RT_TABLE_LOCAL,
		Scope:     netlink.SCOPE_HOST,
	})
}

// Blackhole drops every packet to a network that it would forward or send,
// without a word.
func (ns *Namespace) Blackhole(network netip.Prefix) error {
	return ns.route(&netlink.Route{Dst: ipNet(network), Type: unix.RTN_BLACKHOLE})
}

// Forward makes the namespace a router, for IPv4 and IPv6.
func (ns *Namespace) Forward() error {
	if err := ns.Sysctl("net.ipv4.ip_forward", "1"); err != nil {
		return err
	}
	return ns.Sysctl("net.ipv6.conf.all.forwarding", "1")
}

// HardwareAddr returns the Ethernet address of an interface.
func (ns *Namespace) HardwareAddr(iface string) (net.HardwareAddr, error) {
	link, err := ns.link(iface)
	if err != nil {
		return nil, err
	}
	return link.Attrs().HardwareAddr, nil
}

// SetLink takes an interface up or down, as pulling the cable would.
func (ns *Namespace) SetLink(iface string, up bool) error {
	if up {
		return ns.up(iface)
	}
	link, err := ns.link(iface)
	if err != nil {
		return err
	}
	return ns.nl.LinkSetDown(link)
}

func (ns *Namespace) up(iface string) error {
	link, err := ns.link(iface)
	if err != nil {
		return err
	}
	if err := ns.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring %s/%s up: %w", ns.Name, iface, err)
	}
	return nil
}

func (ns *Namespace) link(iface string) (netlink.Link, error) {
	link, err := ns.nl.LinkByName(iface)
	if err != nil {
		return nil, fmt.Errorf("find interface %s/%s: %w", ns.Name, iface, err)
	}
	return link, nil
}

func (ns *Namespace) route(r *netlink.Route) error {
	if err := ns.nl.RouteAdd(r); err != nil {
		return fmt.Errorf("add route to %s in %s: %w", r.Dst, ns.Name, err)
	}
	return nil
}

// ipNet keeps the host bits, which an interface's address needs.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}
}
