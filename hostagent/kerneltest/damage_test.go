package kerneltest

import (
	"slices"
	"strings"
)

// damage is what an administrator or another program does to us.
type damage struct {
	name     string
	hits     func(variant) bool
	commands string // lines, of words
	sets     bool   // and destroys every set
	reserved bool   // and resets ip_local_reserved_ports
	part     bool   // only a part of us is concerned
	entries  bool   // only what sets hold is
}

func usesNFT(v variant) bool      { return v.iptables == "nft" }
func usesIPSet(v variant) bool    { return !isNFTables(v) }
func isNFTables(v variant) bool   { return v.name == nftablesOwn.name }
func usesAnything(v variant) bool { return true }

// damages are in the words of those who do them. The chains and sets are
// described in the documentation of the backends.
var damages = []damage{
	{name: "nft flush ruleset", hits: usesNFT, commands: "nft flush ruleset"},
	{name: "nft delete table, its ports too", hits: isNFTables, commands: "nft delete table inet portsnare", reserved: true},
	{name: "iptables -F", hits: usesIPSet, commands: `
		iptables -t raw -F
		iptables -t mangle -F
		ip6tables -t raw -F
		ip6tables -t mangle -F`},
	{name: "iptables -F -X, ipset destroy", hits: usesIPSet, sets: true, commands: `
		iptables -t raw -F
		iptables -t raw -X
		iptables -t mangle -F
		iptables -t mangle -X
		ip6tables -t raw -F
		ip6tables -t raw -X
		ip6tables -t mangle -F
		ip6tables -t mangle -X`},

	{name: "jump lost", hits: usesIPSet, part: true, commands: "iptables -t raw -F PREROUTING"},
	{name: "jump twice", hits: usesIPSet, part: true, commands: "ip6tables -t mangle -A PREROUTING -j PORTSNARE"},
	{name: "rule lost", hits: usesIPSet, part: true, commands: "iptables -t mangle -D PORTSNARE_STRAY 3"},
	{name: "rule added", hits: usesIPSet, part: true, commands: "iptables -t raw -I PORTSNARE -j ACCEPT"},
	{name: "table flushed", hits: usesIPSet, part: true, commands: "iptables -t raw -F"},
	{name: "chain added", hits: usesIPSet, part: true, commands: "iptables -t raw -N PORTSNARE_OLD"},
	{name: "trap added", hits: usesIPSet, part: true, entries: true, commands: "ipset add portsnare_trap_tcp 22"},
	{name: "traps lost", hits: usesIPSet, part: true, entries: true, commands: "ipset flush portsnare_trap_tcp"},
	{name: "bait lost", hits: usesIPSet, part: true, entries: true, commands: "ipset flush portsnare_bait_tcp"},
	{name: "bait added", hits: usesIPSet, part: true, entries: true, commands: "ipset add portsnare_bait_tcp 1001-1009"},
	{name: "protected added", hits: usesIPSet, part: true, entries: true, commands: "ipset add portsnare_protected_tcp 1001-1009"},
	{name: "allow added", hits: usesIPSet, part: true, entries: true, commands: "ipset add portsnare_allow4 198.51.100.0/24"},
	{name: "allow lost", hits: usesIPSet, part: true, entries: true, commands: "ipset flush portsnare_allow4"},
	{name: "set left", hits: usesIPSet, part: true, entries: true, commands: "ipset create portsnare_trap_udp_new bitmap:port range 0-65535"},

	{name: "chain flushed", hits: isNFTables, part: true, commands: "nft flush chain inet portsnare early"},
	{name: "rule added", hits: isNFTables, part: true, commands: "nft insert rule inet portsnare trap4 accept"},
	{name: "table flushed", hits: isNFTables, part: true, commands: "nft flush table inet portsnare"},
	{name: "chain added", hits: isNFTables, part: true, commands: "nft add chain inet portsnare old"},
	{name: "chain lost", hits: isNFTables, part: true, commands: `
		nft flush chain inet portsnare late
		nft flush chain inet portsnare udp6
		nft delete chain inet portsnare udp6`},
	{name: "policy changed", hits: isNFTables, part: true, commands: "nft chain inet portsnare late { policy drop; }"},
	{name: "set added", hits: isNFTables, part: true, commands: "nft add set inet portsnare old { type mark; }"},
	{name: "set of another form", hits: isNFTables, part: true, commands: `
		nft flush table inet portsnare
		nft delete set inet portsnare hit4
		nft add set inet portsnare hit4 { type ipv4_addr; }`},
	{name: "trap added", hits: isNFTables, part: true, entries: true, commands: "nft add element inet portsnare trap_tcp { 22 }"},
	{name: "bait lost", hits: isNFTables, part: true, entries: true, commands: "nft flush set inet portsnare bait_tcp"},
	{name: "record lost", hits: isNFTables, part: true, entries: true, commands: "nft flush set inet portsnare reserved"},
	{name: "allow lost", hits: isNFTables, part: true, entries: true, commands: "nft flush set inet portsnare allow4"},

	{name: "reserved ports reset", hits: usesAnything, part: true, entries: true, reserved: true},
}

// damages returns what can be done to the world's backend.
func (w *world) damages() []damage {
	return slices.DeleteFunc(slices.Clone(damages), func(d damage) bool { return !d.hits(w.variant) })
}

// suffer has it done.
func (w *world) suffer(d damage) {
	w.t.Helper()
	for line := range strings.Lines(d.commands) {
		if words := strings.Fields(line); len(words) > 0 {
			w.output(words[0], words[1:]...)
		}
	}
	if d.sets {
		w.destroySets()
	}
	if d.reserved {
		w.resetReserved()
	}
}

// destroySets destroys every set, as soon as the kernel lets go of them.
func (w *world) destroySets() {
	w.t.Helper()
	ctx := w.soon()
	for {
		_, err := w.Server.Command(ctx, "ipset", "destroy").Output()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			w.check(err)
		}
	}
}
