// Package ipset shuts scanners out with ipset, iptables and ip6tables, the nft
// or the legacy variant, whichever the host has. It carries out a
// [kernel.State] and keeps nothing to itself: what is in force stands in the
// kernel, is read back, and survives the agent.
//
// # The kernel program
//
// A source is an IPv4 address or an IPv6 /64. Untouched means that we have no
// say: the packet goes on to the rules of others. A pure SYN that did not come in
// by the loopback interface meets the chain PORTSNARE of table raw, before
// connection tracking has spent anything on it:
//
//	PORTSNARE        source banned, no friend of that port, of IPv6 not allowed,
//	                 addressed to this host -> drop
//	                 to a trap -> PORTSNARE_TRAP
//	                 to a hidden port, alarm or delay on -> PORTSNARE_HIDDEN
//	PORTSNARE_TRAP   allowed, or a local socket takes it -> untouched
//	                 this source hit this port before -> remember for longer, drop
//	                 else -> PORTSNARE_HIT
//	PORTSNARE_HIT    not addressed to this host -> untouched
//	                 remember (source, port); no room -> drop, uncounted
//	                 friend of that port, which was protected before -> drop
//	                 no strike yet -> PORTSNARE_FIRST
//	                 a strike in every slot, no bait, not in our own name -> PORTSNARE_BAN
//	                 log, fill the smallest empty slot, drop
//	PORTSNARE_FIRST  log, fill the first slot, drop
//	PORTSNARE_BAN    ban (10,000 at once, then 1,000 a second), log, drop
//	PORTSNARE_HIDDEN not addressed to this host, in our own name, allowed, or
//	                 friend of that port -> untouched
//	                 alarm -> drop
//	                 more than a thousand a second -> untouched
//	                 delay -> PORTSNARE_DELAY
//	PORTSNARE_DELAY  offers SACK -> PORTSNARE_KNOCK
//	                 from that port within 2 s -> 2 s anew, drop
//	                 else -> PORTSNARE_PLAIN: remember it for 2 s -> PORTSNARE_GREY
//	PORTSNARE_KNOCK  its like was met within 0.7 s -> drop, else -> PORTSNARE_GREY
//	PORTSNARE_GREY   its like was not met within 30 s -> drop
//	                 the source has a strike -> drop, else untouched
//
// Where the host forwards nothing, nobody asks where the SYN of a banned source
// is addressed to.
//
// K strikes take K-1 slots, and one where K is 1, for delay. A slot is a set of
// sources whose entries run out after the window W. A strike goes to the
// smallest slot that is empty, so the slots in which a source stands are its
// hits within the last W, exactly: the window slides. A hit that cannot be
// remembered is not counted, and nothing ever evicts a remembered hit, so one
// port cannot be counted twice. The rules of one packet are not atomic against
// those of another processor: first packets that arrive in the same fraction of
// a microsecond may be miscounted.
//
// Delay waits for the retransmit of a SYN. A client's kernel repeats it after a
// second and from the same port; what comes again within 0.7 s is a scanner's
// duplicate. Raw scanners, which repeat as they like (nmap -g, hping3, masscan), do
// not offer selective acknowledgement, as all common kernels do: without it the time
// is 2 s, begun anew by every repetition, which a kernel's growing pauses exceed in
// the end. A source without a strike that forges the very SYN of a client and waits
// cannot be distinguished from it. What is alike, in address, port and our port, is
// known to hashlimits; no set has three such dimensions. A hashlimit without room
// drops, hence the bound before them.
//
// What is no pure SYN, and a SYN that a local socket takes, meets the chain
// PORTSNARE of table mangle, after connection tracking, so that replies to our
// own and to forwarded connections are known:
//
//	PORTSNARE        part of a conversation -> PORTSNARE_TALK
//	                 TCP to a trap -> PORTSNARE_STRAY
//	                 TCP to a hidden port that tracking calls invalid -> PORTSNARE_VOID
//	                 UDP from a banned source -> drop
//	                 UDP to a trap -> PORTSNARE_UDP
//	PORTSNARE_STRAY  allowed, of a connection of ours -> untouched
//	                 else -> drop, uncounted
//	PORTSNARE_VOID   allowed, or a local socket takes it -> untouched, else drop
//	PORTSNARE_UDP    as PORTSNARE_TRAP; its strikes never fire
//
// PORTSNARE_VOID is for the published port of a container: FIN, NULL and XMAS
// probes are not translated, and would be refused by a host that has no socket.
//
// What leaves meets the chain PORTSNARE_LEAVE of table mangle:
//
//	PORTSNARE_LEAVE  a bare RST -> PORTSNARE_REFUSE
//	                 data of an assured connection made by the peer -> PORTSNARE_SAID
//	PORTSNARE_REFUSE of an assured connection, or to an allowed address -> untouched
//	                 from a hidden port, one published for a container, or, behind
//	                 a cloud firewall, from a trap -> drop
//
// A bare RST is what a listening socket says to a segment that belongs to
// nothing (RFC 9293, 3.10.7.2); a live connection resets with RST|ACK. It would
// tell an ACK, Maimon or SYN-ACK scan where a hidden port is, or a service that
// a cloud firewall hid before its port became a trap. So nothing that comes in
// for a hidden port's socket is dropped, and neither a connection that tracking
// has lost nor a SYN cookie can suffer.
//
// Neither table sees anything but TCP and UDP, so neighbour discovery never
// depends on a ban. Packets that this host only forwards are never touched.
//
// # Friends
//
//	PORTSNARE_TALK   data of an assured connection made by the peer, to a protected
//	                 port of this host -> remember (source, port) in heard for a minute
//	PORTSNARE_SAID   from a protected port, (peer, port) in heard -> friend
//
// Assured means that tracking saw the peer answer our sequence number, which
// nobody can forge; data are segments with PSH, which ends every write. So it
// takes a peer that spoke and a service that spoke after it. What a container
// says leaves under its own port. Its peer is noted in spoken, and becomes a
// friend of the published port by its next packet, in PORTSNARE_PUBLISHED.
//
// Of the friends no more than half can be those of public ports, which stand in
// crowd as well, so that a busy web site leaves room for the others.
//
// # Changes
//
// [Backend.Set] makes sets first, then rules, then fills: a trap is armed only
// where all that keeps it silent stands. Trap sets are swapped as a whole, which
// keeps hits, strikes, bans and friends. The sets that make a trap harmless
// (bait, allow) grow before the swap and shrink after it. Killed
// anywhere, the next Set goes on from what it finds.
//
// The rules of iptables-nft need not be read again while the kernel says that no
// rule of nft has changed (its generation). An order that brings new ports alone
// is then carried out without reading anything back, and with iptables-legacy by
// reading the rules alone; the same order again reads all sets but the kernel's
// own memories.
//
// Everything of ours is named portsnare_ (sets) or PORTSNARE (chains) and
// [Backend.Flush] removes it all, with the tables and built-in chains that
// iptables-nft has made for us, as the set made has them written down. It looks
// afterwards whether all is gone. The sets that record what is ours go last, so that
// after an error another Flush ends the work.
//
// [Backend.Check] loads the very program under the names portsnare_check_ and
// PORTSNARE_CHECK, where no packet meets it, and removes it again. Set and all
// others know nothing of it. The set sums holds what identifies our rules, so that
// [Backend.Armed] can tell whether they stand without knowing the order.
package ipset
