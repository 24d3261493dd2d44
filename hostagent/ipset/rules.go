package ipset

import (
	"fmt"
	"slices"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// The chains. Every chain of ours begins with the first name.
const (
	chainMain      = "PORTSNARE"
	chainTrap      = "PORTSNARE_TRAP"
	chainHit       = "PORTSNARE_HIT"
	chainFirst     = "PORTSNARE_FIRST"
	chainBan       = "PORTSNARE_BAN"
	chainHidden    = "PORTSNARE_HIDDEN"
	chainDelay     = "PORTSNARE_DELAY"
	chainKnock     = "PORTSNARE_KNOCK"
	chainPlain     = "PORTSNARE_PLAIN"
	chainGrey      = "PORTSNARE_GREY"
	chainTalk      = "PORTSNARE_TALK"
	chainPublished = "PORTSNARE_PUBLISHED"
	chainVoid      = "PORTSNARE_VOID"
	chainStray     = "PORTSNARE_STRAY"
	chainUDP       = "PORTSNARE_UDP"
	chainUDPHit    = "PORTSNARE_UDP_HIT"
	chainLeave     = "PORTSNARE_LEAVE"
	chainSaid      = "PORTSNARE_SAID"
	chainRefuse    = "PORTSNARE_REFUSE"
)

// Rules are written in the very form in which iptables-save prints them, so
// that what stands in the kernel can be compared with what is wanted.
const (
	pureSYN    = "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN"
	notPureSYN = "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN"
	toUs       = "-m addrtype --dst-type LOCAL"
	notToUs    = "-m addrtype ! --dst-type LOCAL"                  // and so never remembered as a hit
	toUsNotOwn = "-m addrtype ! --src-type LOCAL --dst-type LOCAL" // nobody strikes in our own name
	fromUs     = "-m addrtype --src-type LOCAL"
	bareRST    = "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK RST"
	data       = "-p tcp -m tcp --tcp-flags RST,PSH PSH" // PSH ends whatever is written

	// anySocket matches where a local socket, listening or connected, would
	// take the packet; ownSocket leaves out those that listen on any address.
	anySocket = "-m socket --nowildcard"
	ownSocket = "-m socket"
)

// logRate bounds what a flood of forged sources can make the agent read.
var logRate = fmt.Sprintf("-m limit --limit %d/sec --limit-burst %d", kernel.LogRate, kernel.LogBurst)

// banRate bounds how many bans are made, so that a flood of forged strikes does not
// keep the kernel looking for room in a full set. It is more than any policy wants.
var banRate = fmt.Sprintf("-m limit --limit %d/sec --limit-burst %d", kernel.LogRate, kernel.LogBurst)

// table is our part of one iptables table.
type table struct {
	name   string
	jumps  []jump
	chains []chain
}

// jump is the one rule of a hook that leads to a chain of ours.
type jump struct{ hook, matches, chain string }

// String returns the rule as it is printed, without "-A".
func (j jump) String() string { return j.hook + " " + j.matches + " -j " + j.chain }

type chain struct {
	name  string
	rules []string
}

func in(set, by string) string    { return "-m set --match-set " + set + " " + by }
func notIn(set, by string) string { return "-m set ! --match-set " + set + " " + by }

// tables returns the family's rules.
func (f family) tables(o kernel.State, opts Options, forwards bool) []table {
	r := rules{
		family: f, policy: o.Policy, alarm: o.Alarm, hiddenPorts: o.Hidden(),
		cloud: o.CloudFirewall, forwards: forwards, group: opts.LogGroup,
	}
	return []table{r.raw(), r.mangle()}
}

// rules writes the rules of one family.
type rules struct {
	family
	policy      portsnare.Policy
	alarm       bool
	hiddenPorts portsnare.PortSet
	cloud       bool
	forwards    bool // packets for others may come by
	group       uint16
}

// raw deals with pure SYNs.
func (r rules) raw() table {
	return table{"raw", []jump{{"PREROUTING", "! -i lo " + pureSYN, chainMain}}, slices.Concat([]chain{
		{chainMain, r.syn()},
		{chainTrap, append(r.allowed(),
			anySocket+" -j RETURN", // to chainStray
			notIn(r.set("hit"), "src,dst")+" -g "+chainHit,
			r.remember(),
			"-j DROP",
		)},
		{chainHit, append([]string{notToUs + " -j RETURN"}, r.count(r.fire(), r.friend("DROP"))...)},
		{chainFirst, r.first()},
		{chainBan, []string{
			banRate + " " + add(r.set("ban"), "src", r.policy.BanMin),
			in(r.set("ban"), "src") + " ! --update-counters " + r.log(kernel.LogBan),
			"-j DROP",
		}},
	}, r.hidden())}
}

// syn drops what a banned source begins, asking the fewest questions, and decides
// which of the chains takes another SYN. No ban of an IPv4 address outlives its
// being allowed, but of a /64 a part may be allowed.
func (r rules) syn() []string {
	banned := in(r.set("ban"), "src") + " " + notIn(r.set(friends), "src,dst") + " "
	if r.bits > 32 {
		banned += notIn(r.set("allow"), "src") + " "
	}
	if r.forwards {
		banned += toUs + " "
	}
	rules := []string{banned + "-j DROP", in(trapTCP, "dst") + " -g " + chainTrap}
	if r.alarm || r.policy.Delay {
		rules = append(rules, in(hiddenTCP, "dst")+" "+toUsNotOwn+" -g "+chainHidden)
	}
	return rules
}

// friend sends the SYN of a friend of its port to a target.
func (r rules) friend(target string) string { return in(r.set(friends), "src,dst") + " -j " + target }

// mangle deals with everything that is no pure SYN, with the SYNs that a local
// socket takes, and with what leaves.
func (r rules) mangle() table {
	return table{"mangle", []jump{
		{"PREROUTING", "! -i lo", chainMain},
		{"POSTROUTING", "! -o lo -p tcp", chainLeave},
	}, slices.Concat([]chain{
		{chainMain, []string{
			"-m conntrack --ctstate RELATED,ESTABLISHED -g " + chainTalk,
			"-p tcp " + in(trapTCP, "dst") + " " + toUsNotOwn + " -g " + chainStray,
			notPureSYN + " -m conntrack --ctstate INVALID " + in(hiddenTCP, "dst") + " " + toUsNotOwn + " -g " + chainVoid,
			"-p udp -m conntrack --ctstate NEW " + in(r.set("ban"), "src") + " " +
				notIn(r.set("allow"), "src") + " " + toUs + " -j DROP",
			"-p udp " + in(trapUDP, "dst") + " " + toUsNotOwn + " -g " + chainUDP,
		}},
		{chainStray, r.stray()},
		{chainVoid, append(r.allowed(), anySocket+" -j RETURN", "-j DROP")}, // it would be a published port that refuses
		{chainUDP, r.udp()},
		{chainUDPHit, r.count(nil)},
		{chainFirst, r.first()},
	}, r.talk(), r.leave())}
}

func (r rules) allowed() []string { return []string{in(r.set("allow"), "src") + " -j RETURN"} }

// stray drops TCP packets to a trap that belong to no conversation.
func (r rules) stray() []string {
	exempt := anySocket
	if r.cloud {
		exempt = notPureSYN + " " + ownSocket
	}
	return append(r.allowed(), exempt+" -j RETURN", "-j DROP")
}

// udp drops and counts UDP packets to a trap. Behind a cloud firewall a socket
// never had such a packet unless it had asked for it, which is not to be known
// of a flow that is exempt from tracking.
func (r rules) udp() []string {
	socket := []string{anySocket + " -j RETURN"}
	if r.cloud {
		socket = []string{
			"-m conntrack --ctstate UNTRACKED " + anySocket + " -j RETURN",
			anySocket + " -j DROP",
		}
	}
	return append(append(r.allowed(), socket...),
		notIn(r.set("hit"), "src,dst")+" -g "+chainUDPHit,
		r.remember(),
		"-j DROP",
	)
}

// count takes the first hit of a source on a port: remembers it, leaves it alone
// if it may, fires if it may, logs it, and adds a strike. If the memory is full the
// hit is not counted, or it would be counted again with every repetition. Slots are
// tried from the last to the first, so that the one just filled does not let the
// next be filled.
func (r rules) count(fire []string, alone ...string) []string {
	rules := slices.Concat([]string{r.remember(), notIn(r.set("hit"), "src,dst") + " -j DROP"}, alone)
	if r.policy.Strikes == 1 {
		return append(append(rules, fire...), "-g "+chainFirst)
	}
	rules = append(rules, notIn(r.slot(1), "src")+" -g "+chainFirst)
	rules = append(append(rules, fire...), logRate+" "+r.log(kernel.LogHit))
	for i := r.policy.Strikes - 1; i > 1; i-- {
		rules = append(rules, r.filled(i-1)+notIn(r.slot(i), "src")+" "+add(r.slot(i), "src", r.policy.Window))
	}
	return append(rules, "-j DROP")
}

// first adds the strike of a source that has none in the first slot.
func (r rules) first() []string {
	return []string{logRate + " " + r.log(kernel.LogHit), add(r.slot(1), "src", r.policy.Window), "-j DROP"}
}

// fire leads a source with a strike in every slot to its ban, except on bait and
// in our own name.
func (r rules) fire() []string {
	return []string{r.filled(r.policy.Strikes-1) + notIn(baitTCP, "dst") + " -m addrtype ! --src-type LOCAL -g " + chainBan}
}

// filled matches a source that stands in each of the slots from the second to the
// n-th: where it is asked for, the source stands in the first.
func (r rules) filled(n int) string {
	var matches string
	for i := 2; i <= n; i++ {
		matches += in(r.slot(i), "src") + " "
	}
	return matches
}

// remember adds (source, port) to the hits, or keeps it for another window.
func (r rules) remember() string { return keep(r.set("hit"), "src,dst", r.policy.Window) }

// keep adds an entry to a set, or keeps it for as long again.
func keep(set, by string, timeout time.Duration) string {
	return fmt.Sprintf("-j SET --add-set %s %s --exist --timeout %d", set, by, seconds(timeout))
}

// add adds the source to a set; if it is there, it stays as it is.
func add(set, by string, timeout time.Duration) string {
	return fmt.Sprintf("-j SET --add-set %s %s --timeout %d", set, by, seconds(timeout))
}

func (r rules) log(prefix string) string {
	return fmt.Sprintf("-j NFLOG --nflog-prefix %q --nflog-group %d --nflog-size %d", prefix, r.group, kernel.LogBytes)
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
