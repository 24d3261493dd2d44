// Package ipset shuts scanners out with ipset, iptables and ip6tables, the nft
// or the legacy variant, whichever the host has. It carries out a
// [portsnare.Order] and keeps nothing to itself: what is in force stands in the
// kernel, is read back before every change, and survives the agent.
//
// # The kernel program
//
// A pure SYN that did not come in by the loopback interface meets the chain
// PORTSNARE of table raw, before connection tracking has spent anything on it:
//
//	PORTSNARE       banned, addressed to this host, not allowed -> drop
//	                to a trap -> PORTSNARE_TRAP
//	PORTSNARE_TRAP  allowed, protected, or a local socket takes it -> untouched
//	                this source hit this port before -> remember for longer, drop
//	                else -> PORTSNARE_HIT
//	PORTSNARE_HIT   remember (source, port); no room -> drop, uncounted
//	                a strike in every slot, and no bait -> PORTSNARE_BAN
//	                log, fill the smallest empty slot, drop
//	PORTSNARE_BAN   ban, log, drop
//
// K strikes take K-1 slots. A slot is a set of sources whose entries run out
// after the window W. A strike goes to the smallest slot that is empty, so the
// slots in which a source stands are its hits within the last W, exactly: the
// window slides. A hit that cannot be remembered is not counted, and nothing
// ever evicts a remembered hit, so one port cannot be counted twice. The rules
// of one packet are not atomic against those of another processor: first
// packets that arrive in the same fraction of a microsecond may be miscounted.
//
// What is no pure SYN, and a SYN that a local socket takes, meets the chain
// PORTSNARE of table mangle, after connection tracking, so that replies to our
// own and to forwarded connections are known:
//
//	PORTSNARE        part of a conversation -> untouched
//	                 TCP to a trap -> PORTSNARE_STRAY
//	                 UDP from a banned source -> drop
//	                 UDP to a trap -> PORTSNARE_UDP
//	PORTSNARE_STRAY  allowed, protected, of a connection of ours -> untouched
//	                 else -> drop, uncounted
//	PORTSNARE_UDP    as PORTSNARE_TRAP; its strikes never fire
//
// Where a cloud firewall stands in front, a service on a trap port was out of
// reach before it became a trap, and stays so. One thing cannot be told apart
// here: a service bound to one address on a trap port looks like a connection of
// ours, so it still answers strays (not SYNs) by RST. No trap is drawn where a
// host listens.
//
// Neither chain sees anything but TCP and UDP, so neighbour discovery never
// depends on a ban. Packets that this host only forwards are never touched.
//
// # Changes
//
// [Backend.Set] makes sets first, then rules, then fills: a trap is armed only
// where all that keeps it silent stands. Trap sets are swapped as a whole, which
// keeps hits, strikes and bans. The sets that make a trap harmless (protected,
// bait, allow) grow before the swap and shrink after it. Killed anywhere, the
// next Set goes on from what it finds.
//
// Everything of ours is named portsnare_ (sets) or PORTSNARE (chains) and
// [Backend.Flush] removes it all.
package ipset
