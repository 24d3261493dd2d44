package ipset

import (
	"strings"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// talk notes which peer has sent data to a protected port in a conversation
// that it began. Assured means that tracking saw the peer answer our sequence
// number, so its address is not forged.
//
// What a container says leaves with the container's own port, which says nothing
// of the published one. So a peer of a published port becomes a friend by its
// next packet, of which there is always one: it acknowledges what it got.
func (r rules) talk() []chain {
	const begun = "-m conntrack --ctstatus ASSURED --ctdir ORIGINAL"
	published := in(r.set(spoken), "src") + " " + begun
	return []chain{
		{chainTalk, []string{
			data + " " + in(protectedTCP, "dst") + " " + begun + " " + toUs + " " + keep(r.set(heard), "src,dst", kernel.HeardTime),
			"-p tcp -m conntrack --ctstate DNAT -g " + chainPublished,
		}},
		{chainPublished, r.befriend("-p tcp "+published, "dst", "src,dst")},
	}
}

// leave learns friends from what our services say, and keeps a listening socket
// from telling where it is: to a segment that belongs to nothing it says a bare
// RST (RFC 9293, 3.10.7.2), while a live connection resets with RST|ACK.
func (r rules) leave() []chain {
	const answers = "-m conntrack --ctstatus ASSURED --ctdir REPLY"
	refuse := []string{
		"-m conntrack --ctstatus ASSURED -j RETURN",
		in(r.set("allow"), "dst") + " -j RETURN",
		in(hiddenTCP, "src") + " " + fromUs + " -j DROP",
	}
	if r.cloud {
		refuse = append(refuse, in(trapTCP, "src")+" "+fromUs+" -j DROP")
	}
	for _, published := range r.hiddenPorts.Of(portsnare.TCP).Ranges() {
		refuse = append(refuse, "-p tcp -m conntrack --ctstate DNAT --ctorigdstport "+
			strings.ReplaceAll(formatRange(published), "-", ":")+" -j DROP")
	}
	return []chain{
		{chainLeave, []string{
			bareRST + " -g " + chainRefuse,
			data + " " + answers + " -g " + chainSaid,
		}},
		{chainSaid, append(r.befriend("-p tcp", "src", "dst,src"),
			"-p tcp -m conntrack --ctstate DNAT "+keep(r.set(spoken), "dst", kernel.HeardTime))},
		{chainRefuse, refuse},
	}
}

// befriend makes a friend of the peer from which data came lately, or keeps it
// one; at a public port as long as there is room in the crowd. The directions are
// those of our port and of (peer, our port).
func (r rules) befriend(matches, ours, pair string) []string {
	public := matches + " " + in(protectedTCP, ours) + " " + notIn(hiddenTCP, ours) + " "
	return []string{
		matches + " " + in(hiddenTCP, ours) + " " + in(r.set(heard), pair) + " " + keep(r.set(friends), pair, portsnare.FriendTime),
		public + in(r.set(heard), pair) + " " + keep(r.set(crowd), pair, portsnare.FriendTime),
		public + in(r.set(heard), pair) + " " + in(r.set(crowd), pair) + " " + keep(r.set(friends), pair, portsnare.FriendTime),
	}
}
