package nftables

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/localports"
)

// This file holds what the tests know of nft; the behaviour they test is that of
// any backend.

// elements returns what a set holds, as nft prints its keys in JSON.
func (w *world) elements(set string) (keys []string) {
	w.t.Helper()
	var l listing
	w.check(json.Unmarshal([]byte(w.output("nft", "-j", "list", "set", "inet", "portsnare", set)), &l))
	for _, object := range l.Nftables {
		if object.Set == nil {
			continue
		}
		for _, e := range object.Set.Elem {
			keys = append(keys, string(e.Val))
		}
	}
	slices.Sort(keys)
	return keys
}

// hits returns the ports that the kernel remembers of a source.
func (w *world) hits(from netip.Addr) (ports []string) {
	w.t.Helper()
	for _, key := range w.elements(familyOf(from).set(hit)) {
		var parts struct{ Concat [3]any }
		w.check(json.Unmarshal([]byte(key), &parts))
		if parts.Concat[0] == portsnare.BanPrefix(from).Addr().String() {
			text, err := json.Marshal(parts.Concat[2])
			w.check(err)
			ports = append(ports, parts.Concat[1].(string)+":"+string(text))
		}
	}
	return ports
}

// struck returns how many sources have a strike in the n-th slot.
func (w *world) struck(n int) int {
	w.t.Helper()
	return len(w.elements(familyOf(w.server).slot(n)))
}

// ruleset is all that stands in the kernel of anybody, without what changes by
// itself.
func (w *world) ruleset() string {
	w.t.Helper()
	return w.output("nft", "-s", "list", "ruleset")
}

// reservedPorts is the kernel parameter.
func (w *world) reservedPorts() string {
	w.t.Helper()
	return strings.TrimSpace(w.output("cat", localports.Path))
}
