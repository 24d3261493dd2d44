package ipset

import (
	"fmt"
	"time"

	"github.com/portsnare/portsnare"
)

// The chains. Every chain of ours begins with the first name.
const (
	chainMain   = "PORTSNARE"
	chainTrap   = "PORTSNARE_TRAP"
	chainHit    = "PORTSNARE_HIT"
	chainBan    = "PORTSNARE_BAN"
	chainStray  = "PORTSNARE_STRAY"
	chainUDP    = "PORTSNARE_UDP"
	chainUDPHit = "PORTSNARE_UDP_HIT"
)

// Rules are written in the very form in which iptables-save prints them, so
// that what stands in the kernel can be compared with what is wanted.
const (
	pureSYN    = "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN"
	notPureSYN = "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN"
	toUs       = "-m addrtype --dst-type LOCAL"
	toUsNotOwn = "-m addrtype ! --src-type LOCAL --dst-type LOCAL" // nobody strikes in our own name

	// anySocket matches where a local socket, listening or connected, would
	// take the packet; ownSocket leaves out those that listen on any address.
	anySocket = "-m socket --nowildcard"
	ownSocket = "-m socket"

	// logRate bounds what a flood of forged sources can make the agent read.
	// Bans are not bounded: there are at most as many as their set holds.
	logRate = "-m limit --limit 1000/sec --limit-burst 2000"

	// logBytes of a packet are logged: the IP header, some IPv6 extension
	// headers, the ports.
	logBytes = 128
)

// table is our part of one iptables table.
type table struct {
	name   string
	jump   string // matches of the one rule in PREROUTING that leads to chainMain
	chains []chain
}

type chain struct {
	name  string
	rules []string
}

func in(set, by string) string    { return "-m set --match-set " + set + " " + by }
func notIn(set, by string) string { return "-m set ! --match-set " + set + " " + by }

// tables returns the family's rules.
func (f family) tables(o portsnare.Order, opts Options) []table {
	r := rules{family: f, policy: o.Policy, cloud: o.CloudFirewall, group: opts.LogGroup}
	return []table{r.raw(), r.mangle()}
}

// rules writes the rules of one family.
type rules struct {
	family
	policy portsnare.Policy
	cloud  bool
	group  uint16
}

// raw deals with pure SYNs. Still to come in chainMain, where the steps of the
// design have their place: friends before the ban; alarm and delay for protected
// ports behind the traps.
func (r rules) raw() table {
	return table{"raw", "! -i lo " + pureSYN, []chain{
		{chainMain, []string{
			in(r.set("ban"), "src") + " " + notIn(r.set("allow"), "src") + " " + toUs + " -j DROP",
			in(trapTCP, "dst") + " " + toUsNotOwn + " -g " + chainTrap,
		}},
		{chainTrap, append(r.untouched(protectedTCP),
			anySocket+" -j RETURN", // to chainStray
			notIn(r.set("hit"), "src,dst")+" -g "+chainHit,
			r.remember(),
			"-j DROP",
		)},
		{chainHit, r.count(r.fire())},
		{chainBan, []string{
			add(r.set("ban"), "src", r.policy.BanMin),
			in(r.set("ban"), "src") + " ! --update-counters " + r.log(portsnare.LogBan),
			"-j DROP",
		}},
	}}
}

// mangle deals with everything that is no pure SYN, and with the SYNs that a
// local socket takes.
func (r rules) mangle() table {
	return table{"mangle", "! -i lo", []chain{
		{chainMain, []string{
			"-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
			"-p tcp " + in(trapTCP, "dst") + " " + toUsNotOwn + " -g " + chainStray,
			"-p udp -m conntrack --ctstate NEW " + in(r.set("ban"), "src") + " " +
				notIn(r.set("allow"), "src") + " " + toUs + " -j DROP",
			"-p udp " + in(trapUDP, "dst") + " " + toUsNotOwn + " -g " + chainUDP,
		}},
		{chainStray, r.stray()},
		{chainUDP, r.udp()},
		{chainUDPHit, r.count()},
	}}
}

// untouched lets through what no trap concerns. Protected ports are not among
// the traps; the rule is there in case that somebody changes the sets by hand.
func (r rules) untouched(protected string) []string {
	return []string{
		in(r.set("allow"), "src") + " -j RETURN",
		in(protected, "dst") + " -j RETURN",
	}
}

// stray drops TCP packets to a trap that belong to no conversation.
func (r rules) stray() []string {
	exempt := anySocket
	if r.cloud {
		exempt = notPureSYN + " " + ownSocket
	}
	return append(r.untouched(protectedTCP), exempt+" -j RETURN", "-j DROP")
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
	rules := append(r.untouched(protectedUDP), socket...)
	return append(rules,
		notIn(r.set("hit"), "src,dst")+" -g "+chainUDPHit,
		r.remember(),
		"-j DROP",
	)
}

// count takes a first hit: remembers it, fires if it may, logs it, and adds a
// strike. If the memory is full the hit is not counted, or it would be counted
// again with every repetition. Slots are tried from the last to the first, so
// that the one just filled does not let the next be filled.
func (r rules) count(fire ...string) []string {
	rules := append([]string{
		r.remember(),
		notIn(r.set("hit"), "src,dst") + " -j DROP",
	}, fire...)
	rules = append(rules, logRate+" "+r.log(portsnare.LogHit))
	for i := r.policy.Strikes - 1; i >= 1; i-- {
		rules = append(rules, r.filled(i-1)+notIn(r.slot(i), "src")+" "+add(r.slot(i), "src", r.policy.Window))
	}
	return append(rules, "-j DROP")
}

// fire leads a source with a strike in every slot to its ban, except on bait.
func (r rules) fire() string {
	return r.filled(r.policy.Strikes-1) + notIn(baitTCP, "dst") + " -g " + chainBan
}

// filled matches a source that stands in each of the first n slots.
func (r rules) filled(n int) string {
	var matches string
	for i := 1; i <= n; i++ {
		matches += in(r.slot(i), "src") + " "
	}
	return matches
}

// remember adds (source, port) to the hits, or keeps it for another window.
func (r rules) remember() string {
	return fmt.Sprintf("-j SET --add-set %s src,dst --exist --timeout %d", r.set("hit"), seconds(r.policy.Window))
}

// add adds the source to a set; if it is there, it stays as it is.
func add(set, by string, timeout time.Duration) string {
	return fmt.Sprintf("-j SET --add-set %s %s --timeout %d", set, by, seconds(timeout))
}

func (r rules) log(prefix string) string {
	return fmt.Sprintf("-j NFLOG --nflog-prefix %q --nflog-group %d --nflog-size %d", prefix, r.group, logBytes)
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
