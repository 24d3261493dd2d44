package kerneltest

import (
	"net/netip"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// everything is an order with something of all that an order can have: bans and
// friends that are over, that are allowed, that last longer than the kernel
// counts.
func (w *world) everything() kernel.State {
	order, now := w.order(), time.Now()
	order.Allow = []netip.Prefix{
		netip.MustParsePrefix("203.0.113.1/32"),
		netip.MustParsePrefix("::ffff:192.0.2.128/121"),
		netip.MustParsePrefix("2001:db8:a::7/48"),
	}
	order.Bans = []portsnare.Ban{
		{Source: netip.MustParsePrefix("198.51.100.207/32"), Until: now.Add(90 * time.Second)},
		{Source: netip.MustParsePrefix("2001:db8:51:5::/64"), Until: now.Add(time.Hour)},
		{Source: netip.MustParsePrefix("198.51.100.208/32"), Until: now},
		{Source: netip.MustParsePrefix("192.0.2.200/32"), Until: now.Add(time.Hour)},
		{Source: netip.MustParsePrefix("198.51.100.209/32"), Until: now.AddDate(10, 0, 0)},
	}
	order.Friends = []portsnare.Friend{
		friendOf(hiddenPort, netip.MustParseAddr("198.51.100.207"), time.Hour),
		friendOf(publicPort, netip.MustParseAddr("2001:db8:51:5::"), portsnare.FriendTime),
		friendOf(hiddenPort, netip.MustParseAddr("198.51.100.208"), 0),
	}
	return order
}

// friendOf returns a source as a friend of a port for so long.
func friendOf(port uint16, source netip.Addr, left time.Duration) portsnare.Friend {
	return portsnare.Friend{
		Source: portsnare.BanPrefix(source),
		Port:   portsnare.Port{Protocol: portsnare.TCP, Number: port},
		Until:  time.Now().Add(left),
	}
}

// orders returns orders that together have all options.
func (w *world) orders() (all []kernel.State) {
	for _, option := range []func(*kernel.State){
		func(o *kernel.State) { o.Policy.Delay = true },
		func(o *kernel.State) { o.Alarm, o.CloudFirewall = true, false },
	} {
		order := w.order()
		order.Bans, order.Friends = w.everything().Bans, w.everything().Friends
		option(&order)
		all = append(all, order)
	}
	return all
}
