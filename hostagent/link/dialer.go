package link

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
)

// dialer makes the connections of one session and cuts them when it ends, half
// made ones too. It notes each address that it is about to dial.
type dialer struct {
	ctx  context.Context
	link *Link
	err  error // of the last attempt
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	plain := net.Dialer{Timeout: dialTime, Control: func(_, address string, _ syscall.RawConn) error {
		d.link.note(address)
		return nil
	}}
	conn, err := plain.DialContext(d.ctx, network, address)
	if d.err = err; err != nil {
		return nil, err
	}
	context.AfterFunc(d.ctx, func() { conn.Close() })
	return conn, nil
}

// mostDialed bounds how many addresses of the controller are remembered.
const mostDialed = 16

func (l *Link) note(address string) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return // not an IP address, which package net never dials
	}
	addr := at.Addr().Unmap().WithZone("")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialed = slices.DeleteFunc(l.dialed, func(a netip.Addr) bool { return a == addr })
	l.dialed = append(l.dialed, addr)
	l.dialed = l.dialed[max(0, len(l.dialed)-mostDialed):]
}

// Controller returns the addresses of the controller as far as they are known:
// those that stand in the token and those that were dialed. Such an address is
// known before the first packet goes there, so that its answer is let in.
func (l *Link) Controller() []netip.Addr {
	var addrs []netip.Addr
	for _, text := range l.token.URLs {
		u, err := url.Parse(text)
		if err != nil {
			continue // the connection tells of it
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
			addrs = append(addrs, addr.Unmap().WithZone(""))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	addrs = append(addrs, l.dialed...)
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}
