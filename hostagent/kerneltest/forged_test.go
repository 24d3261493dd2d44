package kerneltest

import (
	"net/netip"
	"testing"

	"github.com/portsnare/portsnare/hostagent/netlab"
)

// forge scans in somebody's name.
func (w *world) forge(victim netip.Addr) {
	w.t.Helper()
	for _, port := range netlab.Ascending(1001, 1010) {
		w.send(netlab.Packet{Proto: netlab.UDP, Src: victim, DstPort: port, Payload: []byte("x")})
	}
	w.syn(victim, netlab.Ascending(1001, 1010)...)
	w.check(w.Fence(w.soon(), w.fence))
}

// wantNoHits fails the test if the kernel has counted anything of an address,
// whatever its neighbours did.
func (w *world) wantNoHits(addr netip.Addr) {
	w.t.Helper()
	for _, hit := range w.hits(addr) {
		if hit.Source == addr {
			w.t.Errorf("%s hit %s, want it not counted", addr, hit.Port)
		}
	}
}

// TestForged: nobody can have those banned whom the server cannot do without.
func TestForged(t *testing.T) {
	forEach(t, defences, func(t *testing.T, w *world) {
		controller := w.source()
		order := w.order()
		for _, addr := range []netip.Addr{w.gateway, controller} { // as the agent adds them
			order.Allow = append(order.Allow, netip.PrefixFrom(addr, addr.BitLen()))
		}
		w.set(order)
		w.run(t, "the controller", func(w *world) {
			w.forge(controller)
			w.wantBanned(controller, false)
			w.wantNoHits(controller)
			w.record("Forged scans", "in the name of the controller", "not banned, served")
		})
		w.run(t, "the gateway", func(w *world) {
			w.forge(w.gateway)
			if w.banned(w.gateway) {
				w.t.Error("banned")
			}
			w.wantNoHits(w.gateway)
			c, err := w.Cloud.Dial(w.soon(), "tcp", w.gateway.String(), netip.AddrPortFrom(w.server, hiddenPort).String())
			w.check(err)
			defer c.Close()
			w.talk(c)
			w.record("Forged scans", "in the name of the gateway", "not banned, served")
		})
		w.run(t, "the host itself", func(w *world) {
			w.forge(w.server)
			if w.banned(w.server) {
				w.t.Error("banned")
			}
			c, err := w.Server.Dial(w.soon(), "tcp", w.server.String(), netip.AddrPortFrom(w.server, hiddenPort).String())
			w.check(err)
			defer c.Close()
			w.talk(c)
			w.record("Forged scans", "in the name of the host itself", "not banned, served")
		})
		w.run(t, "an established client", func(w *world) {
			victim := w.source()
			old := w.dial(victim, publicPort)
			w.talk(old)
			w.forge(victim)
			if !w.banned(victim) {
				w.t.Error("not banned: nothing was forged")
			}
			w.talk(old)
			w.record("Forged scans", "in the name of a client, whose connection lives on", "banned, served")
		})
	})
}
