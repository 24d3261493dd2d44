//go:build linux

package netlab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Dial connects from inside the namespace, as net.Dialer does, to raddr, an
// address and port; a name would be looked up outside. A laddr that is not
// empty is the address to come from, without a port. While it connects it holds
// a thread of the operating system.
func (ns *Namespace) Dial(ctx context.Context, network, laddr, raddr string) (conn net.Conn, err error) {
	if _, err := netip.ParseAddrPort(raddr); err != nil {
		return nil, fmt.Errorf("dial from %s: %w", ns.Name, err)
	}
	var dialer net.Dialer
	if laddr != "" {
		from, err := netip.ParseAddr(laddr)
		if err != nil {
			return nil, fmt.Errorf("dial from %s: %w", ns.Name, err)
		}
		dialer.LocalAddr = localAddr(network, from)
	}
	err = ns.Do(func() error {
		conn, err = dialer.DialContext(ctx, network, raddr)
		return err
	})
	return conn, err
}

// Listen is net.Listen inside the namespace.
func (ns *Namespace) Listen(network, addr string) (l net.Listener, err error) {
	err = ns.Do(func() error {
		l, err = net.Listen(network, addr)
		return err
	})
	return l, err
}

// ListenPacket is net.ListenPacket inside the namespace.
func (ns *Namespace) ListenPacket(network, addr string) (c net.PacketConn, err error) {
	err = ns.Do(func() error {
		c, err = net.ListenPacket(network, addr)
		return err
	})
	return c, err
}

// localAddr is an address with a port of the kernel's choice, in the type that
// net.Dialer wants for network.
func localAddr(network string, a netip.Addr) net.Addr {
	free := netip.AddrPortFrom(a, 0)
	if strings.HasPrefix(network, "udp") {
		return net.UDPAddrFromAddrPort(free)
	}
	return net.TCPAddrFromAddrPort(free)
}
