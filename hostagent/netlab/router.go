//go:build linux

package netlab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
)

// router is the neighbour that a namespace sends packets for some target to;
// the target itself if it is one.
type router struct {
	addr netip.Addr
	mac  net.HardwareAddr
	conn net.Conn
}

// nudgeEvery is the time between two nudges.
const nudgeEvery = 50 * time.Millisecond

// router finds the neighbour on the way to target, and makes the kernel find
// its Ethernet address by sending it a datagram or more.
func (ns *Namespace) router(ctx context.Context, target netip.Addr) (*router, error) {
	routes, err := ns.nl.RouteGet(target.AsSlice())
	if err != nil {
		return nil, fmt.Errorf("find route from %s to %s: %w", ns.Name, target, err)
	}
	r := &router{addr: target}
	if gw, ok := netip.AddrFromSlice(routes[0].Gw); ok {
		r.addr = gw.Unmap()
	}
	const discard = 9 // RFC 863
	r.conn, err = ns.Dial(ctx, "udp", "", netip.AddrPortFrom(r.addr, discard).String())
	if err != nil {
		return nil, err
	}
	for r.mac == nil {
		if err := r.nudgeOnce(ctx); err != nil {
			r.conn.Close()
			return nil, fmt.Errorf("find Ethernet address of router %s: %w", r.addr, err)
		}
		r.mac = ns.neighbour(routes[0].LinkIndex, r.addr)
	}
	return r, nil
}

// nudge sends small datagrams to the router until ctx ends.
func (r *router) nudge(ctx context.Context) {
	defer r.conn.Close()
	for r.nudgeOnce(ctx) == nil {
	}
}

// nudgeOnce sends one datagram. The router refuses it, which is an answer too.
func (r *router) nudgeOnce(ctx context.Context) error {
	r.conn.Write([]byte{0})
	return pause(ctx, time.Now().Add(nudgeEvery))
}

// neighbour returns the Ethernet address of a neighbour, nil if unknown.
func (ns *Namespace) neighbour(ifindex int, addr netip.Addr) net.HardwareAddr {
	neighbours, err := ns.nl.NeighList(ifindex, netlink.FAMILY_ALL)
	if err != nil {
		return nil
	}
	for _, n := range neighbours {
		if n.IP.Equal(addr.AsSlice()) && len(n.HardwareAddr) > 0 {
			return n.HardwareAddr
		}
	}
	return nil
}
