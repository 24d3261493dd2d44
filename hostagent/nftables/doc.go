// Package nftables shuts scanners out with nft alone: one table of our own,
// inet portsnare, beside those of the administrator, ufw, firewalld or Docker.
// It carries out a [kernel.State] and keeps nothing to itself: what is in
// force stands in the kernel, is read back where it can have changed, and survives
// the agent. It needs Linux 5.11 and nft 0.9.8 (socket wildcard).
//
// # The kernel program
//
// The names below are those of the chains and sets, without the digit of the
// family. A source is an IPv4 address or an IPv6 /64. Untouched means that we
// have no say: the packet goes on to the tables of others.
//
// A pure SYN (of FIN, SYN, RST, ACK only SYN) that did not come in by the
// loopback interface meets the chain syn, from early in prerouting before raw
// (-310), before connection tracking has spent anything on it. The first that
// fits:
//
//	syn      source in ban, no friend of that port, not allowed, addressed to
//	         this host -> drop; the ban's counter has counted it
//	         to trap_tcp -> trap
//	         to hidden_tcp, alarm or delay on -> hidden
//	trap     allowed -> untouched
//	         a local socket takes it -> decided in late
//	         this source hit this port before -> remember for longer, drop
//	         not addressed to this host -> untouched
//	         remember (source, protocol, port) in hit -> strike; no room -> drop, uncounted
//	strike   friend of that port -> drop, uncounted: it was protected before
//	         a strike in each of K-1 slots, TCP and no bait -> fire
//	         log, fill the smallest empty slot, drop
//	fire     from an address of this host -> drop
//	         ban, log, drop
//	hidden   not addressed to this host, from an address of its own, allowed,
//	         or friend of that port -> untouched
//	         alarm -> drop
//	         delay: offers SACK -> knock, else -> plain
//	knock    (source address, source port, port) in hasty -> drop
//	         in grey -> drop if the source has a strike, else untouched
//	         add it to grey and to hasty, drop; no room -> untouched
//	plain    as knock, but hasty for longer, and again with every repetition
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
// Delay waits for the retransmit of a SYN. A client's kernel repeats a SYN after
// one second and from the same port, so what comes again while it stands in
// hasty (700 ms) is a scanner's duplicate, and what comes again while it stands in
// grey (30 s) and no longer in hasty is the retransmit. Raw scanners, which repeat
// as they like (nmap -g, hping3, masscan), do not offer selective acknowledgement, as
// all common kernels do: without it hasty is 2 s, begun anew by every repetition,
// which a kernel's growing pauses exceed in the end. Grey is not prolonged by
// repetitions. Any strike within W, bait and UDP included, keeps the source out.
// Otherwise a source that forges the very SYN of a client and waits cannot be
// distinguished from it.
//
// Everything else meets the chain late, in prerouting at mangle (-150), after
// connection tracking, so that replies to our own and to forwarded connections
// are known:
//
//	late     established or related -> talk
//	         TCP to a trap -> stray
//	         UDP, new, from a banned source to this host, not allowed -> drop
//	         UDP to a trap -> udp
//	stray    as the head of trap, a connection of ours -> untouched
//	         else -> drop, uncounted
//	udp      as trap, with socket rules of its own; its strikes never fire
//
// Where a cloud firewall stands in front, a service on a trap port was out of
// reach before it became a trap, and stays so: stray exempts what is no SYN and
// has a socket not bound to the wildcard, udp what is exempt from tracking and
// has a socket. Without a cloud firewall any local socket exempts.
//
// What leaves meets the chain leave, in postrouting after source NAT (110),
// where a published port of a container reads like a port of the host:
//
//	leave    RST from a hidden port, or, behind a cloud firewall, from a trap
//	         -> refuse, mute
//	         TCP data of an assured connection made by the peer, from a
//	         protected port, source and port in heard -> answer, befriend: add
//	         to friend, or keep for another FriendTime
//	mute     not from an address of this host -> untouched
//	         of an assured connection -> untouched
//	         RST|ACK with a sequence number -> untouched: a live connection's
//	         RST|ACK, tracked -> untouched: refuses a SYN
//	         to an allowed address -> untouched
//	         else -> drop
//
// A bare RST is what a listening socket says to a segment that belongs to
// nothing (RFC 9293, 3.10.7.2: its sequence number is the ACK of the segment):
// it would tell an ACK, Maimon or SYN-ACK scan where a hidden port is. What has
// no ACK is answered by RST|ACK with sequence number 0, and by closed ports
// only. So nothing that comes in for a hidden port is dropped as a stray, and
// neither a connection that tracking has lost nor a SYN cookie can suffer.
//
// # Friends
//
//	talk     TCP data of an assured connection made by the peer, to a protected
//	         port of this host -> hear: remember (source, port) for a minute
//
// Then the service's next data to it makes the friend. Assured means that
// tracking saw the handshake completed within the window, which takes our
// sequence number; data are segments with PSH, which ends every write. So it
// takes a client that spoke and a service that spoke after it. A handshake, a
// banner that nobody answers, and anything UDP make no friend. Connection
// accounting is not needed and not switched on.
//
// Of the friends no more than half can be those of public ports, which stand in
// crowd as well, so that a busy web site leaves room for the others. What is
// full learns nobody more.
//
// # Full memories
//
// Whoever finds no room in a memory is served. The set full_ of its kind holds
// for a minute for which family that was, which [Backend.Full] reads.
//
// # Changes
//
// [Backend.Set] reads what stands, and makes what differs in one transaction:
// the old program is in force until the new one is, and a kill leaves one or the
// other. Hits, strikes, bans and friends stay where they are. Beside the
// transaction there is only ip_local_reserved_ports: the set reserved records
// which of those ports are ours, before they are added and until they are gone.
//
// Nothing need be read while the kernel says that no rule of nft has changed since
// the last Set (its generation). An order that brings new ports alone is then
// carried out by netlink, in two milliseconds for a thousand traps; nft would take
// fifteen to end. Another order, or the same again, reads bans and friends, and
// once a rule has changed everything but the kernel's own memories.
//
// A rule cannot be compared as text, because every version of nft prints it in
// its own way. So each rule and each set of ours carries in its comment the
// first digits of a SHA-256 of the text that made it. If the table is not as we
// make it (a set of another form, a chain in another hook), it is replaced as a
// whole, and bans and friends are carried over.
//
// [Backend.Flush] deletes the table, and looks afterwards whether it is gone. Where
// reserved ports are ours, the set reserved stays until they are released, so that
// after an error another Flush ends the work.
//
// [Backend.Check] gives the kernel the very program as the table portsnare_check and
// has it try all and keep nothing (nft -c). The set sums holds what identifies our
// chains, so that [Backend.Armed] can tell whether they stand without knowing the
// order.
package nftables
