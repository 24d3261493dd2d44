package providertest

import (
	"net/netip"
	"testing"

	"github.com/portsnare/portsnare"
)

// states moves one firewall through trap sets, one step each.
func states(t *testing.T, p Provider) {
	w := p.start(t, 0)
	some := []portsnare.Source{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	for _, state := range []struct {
		name string
		want []portsnare.Opening
	}{
		{"A, the first", w.dual("8000-8009/tcp", "9000/tcp")},
		{"B, as many, all others", w.dual("5000/tcp", "6000-6999/udp")},
		{"C, as many, one stays", w.dual("5000/tcp", "7000/tcp")},
		{"more", w.dual("1001/tcp", "1003/tcp", "1005/tcp")},
		{"fewer", w.dual("1007/tcp")},
		{"one family more, one fewer", w.v4("1009/tcp", "1011/tcp")},
		{"the other family instead", w.v6("1009/tcp", "1011/tcp")},
		{"both families", w.dual("1009/tcp", "1011/tcp")},
		{"one family of one of them", append(w.v4("1009/tcp"), w.dual("1011/tcp")...)},
		{"prefixes", w.to(some, "1009/tcp", "1011-1019/udp")},
		{"prefixes and everyone", append(w.to(some, "1009/tcp"), w.dual("1021/tcp")...)},
		{"the same port of two protocols", w.dual("1021/tcp", "1021/udp")},
		{"the ends of the port space", w.dual("1/tcp", "65535/tcp", "1/udp", "65535/udp")},
		{"ranges that touch", w.dual("5000-5009/tcp", "5010-5019/tcp")},
		{"ranges that overlap", w.dual("5005-5012/tcp", "5010-5019/tcp")},
		{"a range cut", w.dual("5005-5008/tcp", "5010-5019/tcp")},
		{"a range for its first port", w.dual("5005/tcp", "5010-5019/tcp")},
		{"every port of a protocol", w.dual("1-65535/udp")},
		{"only opened", w.dual("1-65535/udp", "1023/tcp")},
		{"only closed", w.dual("1023/tcp")},
		{"none", nil},
		{"A again", w.dual("8000-8009/tcp", "9000/tcp")},
	} {
		sub(w, state.name, func(w *walk) { w.reach(state.want) })
	}
	sub(w, "nothing to do", func(w *walk) {
		before := w.Writes()
		done, err := w.Firewall.Apply(w.Context(), portsnare.Plan{})
		if err != nil || done.Writes != 0 || w.Writes() != before {
			w.Errorf("done %+v, error %v, %d writes; want none", done, err, w.Writes()-before)
		}
	})
}

// sub runs a case on a walk that goes on afterwards.
func sub(w *walk, name string, play func(*walk)) {
	w.Run(name, func(t *testing.T) {
		inner := *w
		inner.T = t
		play(&inner)
	})
}

// fresh runs a case on a walk of its own that has reached from.
func (p Provider) fresh(t *testing.T, name string, from []portsnare.Opening, play func(*walk)) {
	t.Run(name, func(t *testing.T) {
		w := p.start(t, 0)
		if len(from) > 0 {
			w.reach(from)
		}
		play(w)
	})
}

// limit fills a firewall to the last rule, replaces all at once where there is
// no room for both, and asks for one rule too many.
func limit(t *testing.T, p Provider) {
	const room = 16 // where it can be chosen
	w := p.start(t, room)
	n := w.room()
	switch {
	case n < 2:
		t.Fatalf("room for %d ranges: the case needs 2", n)
	case n > 65535:
		t.Skip("there is room for every port")
	}
	sub(w, "full", func(w *walk) { w.reach(many(n, 1000)) })
	sub(w, "full, all others", func(w *walk) { w.reach(many(n, 3000)) })
	sub(w, "full, all but one others", func(w *walk) { w.reach(append(many(n-1, 5000), many(1, 3000)...)) })
	sub(w, "full, one family", func(w *walk) {
		var half []portsnare.Opening
		for _, o := range many(n, 5000) {
			if o.Source == anyV4 {
				half = append(half, o)
			}
		}
		w.reach(half)
	})
	sub(w, "full again", func(w *walk) { w.reach(many(n, 7000)) })
	sub(w, "over the limit", func(w *walk) {
		a := w.step(w.Context(), many(n+1, 9000))
		if portsnare.KindOf(a.err) != portsnare.LimitExceeded || portsnare.HintOf(a.err) == "" {
			w.Errorf("error %v, hint %q; want one of kind %q with a hint", a.err, portsnare.HintOf(a.err), portsnare.LimitExceeded)
		}
	})
	sub(w, "below it again", func(w *walk) { w.recover(many(n, 3000)) })
}
