package nftables

import (
	"fmt"
	"strconv"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/kernel"
)

// fullTime is how long a memory that had no room for somebody is called full.
const fullTime = time.Minute

// Pieces of rules.
const (
	pureSYN   = "tcp flags & (fin | syn | rst | ack) == syn"
	offerSACK = "tcp option sack-permitted exists"
	anyRST    = "tcp flags & rst == rst"
	data      = "tcp flags & psh == psh" // ends every write
	assured   = "ct status assured"
	forwarded = "fib daddr type != local"
	fromUs    = "fib saddr type local" // nobody strikes in our own name

	// anySocket matches where a local socket, listening or connected, would
	// take the packet; ownSocket leaves out those that listen on any address.
	anySocket = "socket wildcard { 0, 1 }"
	ownSocket = "socket wildcard 0"
)

// logRate bounds what a flood of forged sources can make the agent read.
var logRate = fmt.Sprintf("limit rate %d/second burst %d packets", kernel.LogRate, kernel.LogBurst)

// hook is where a base chain hangs in. The zero hook is none.
type hook struct {
	name     string // "prerouting"
	priority int
	words    string // the priority as people write it
}

var (
	beforeTracking = hook{"prerouting", -310, "raw - 10"}
	afterTracking  = hook{"prerouting", -150, "mangle"}
	afterSourceNAT = hook{"postrouting", 110, "srcnat + 10"}
)

// shared returns the chains that serve both families.
func shared(o kernel.State, forwards [len(families)]bool) []chain {
	return []chain{
		{"early", beforeTracking, []string{pureSYN + " goto syn"}},
		{"syn", hook{}, []string{
			families[0].banned("", "iif != lo "+families[0].stranger(), forwards[0]),
			families[1].banned("", "iif != lo "+families[1].stranger(), forwards[1]),
			"iif lo accept",
			"meta nfproto ipv4 goto syn4",
			"meta nfproto ipv6 goto syn6",
		}},
		{"late", afterTracking, []string{
			"iif lo accept",
			"ct state established,related goto talk",
			"tcp dport @trap_tcp goto stray",
			"meta nfproto ipv4 meta l4proto udp goto udp4",
			"meta nfproto ipv6 meta l4proto udp goto udp6",
		}},
		{"stray", hook{}, stray(o.CloudFirewall)},
		{"talk", hook{}, []string{data + " ct direction original " + assured + " goto spoken"}},
		{"spoken", hook{}, []string{
			"tcp dport @hidden_tcp goto hear",
			"tcp dport @public_tcp goto hear",
		}},
		{"hear", hook{}, []string{
			forwarded + " accept",
			families[0].remember("add", heard, families[0].from("tcp dport"), kernel.HeardTime) + " accept",
			families[1].remember("add", heard, families[1].from("tcp dport"), kernel.HeardTime) + " accept",
			noRoom(heard),
		}},
		{"leave", afterSourceNAT, []string{
			"oif lo accept",
			anyRST + " goto refuse",
			data + " ct direction reply " + assured + " goto answer",
		}},
		{"refuse", hook{}, refuse(o.CloudFirewall)},
		{"mute", hook{}, mute()},
		{"answer", hook{}, []string{
			"tcp sport @hidden_tcp goto answer_hidden",
			"tcp sport @public_tcp goto answer_public",
		}},
		{"answer_hidden", hook{}, answered("befriend")},
		{"answer_public", hook{}, answered("join")},
	}
}

// banned drops what a banned source begins, under a condition. No ban of an IPv4
// address outlives its being allowed, but of a /64 a part may be.
func (f family) banned(begins, condition string, forwards bool) string {
	rule := begins + " " + f.source() + " @" + f.set(ban) + " " + condition
	if f.mask != "" {
		rule += f.ip + " saddr != @" + f.set(allow) + " "
	}
	if forwards {
		rule += "fib daddr type local "
	}
	return rule + "drop"
}

// stray drops TCP packets to a trap that belong to no conversation.
func stray(cloud bool) []string {
	exempt := anySocket
	if cloud {
		exempt = "tcp flags & (fin | syn | rst | ack) != syn " + ownSocket
	}
	return []string{
		forwarded + " accept",
		fromUs + " accept",
		"ip saddr @allow4 accept",
		"ip6 saddr @allow6 accept",
		exempt + " accept",
		"drop",
	}
}

// refuse finds the RSTs that may tell of a service that is hidden.
func refuse(cloud bool) []string {
	rules := []string{"tcp sport @hidden_tcp goto mute"}
	if cloud {
		rules = append(rules, "tcp sport @trap_tcp goto mute")
	}
	return rules
}

// mute drops the RSTs that answer strays. A segment with ACK is answered by a
// bare RST, one without by RST|ACK with sequence number 0 (RFC 9293, 3.10.7),
// and that is also how a closed port refuses a SYN, which tracking knows. All
// other RST|ACK are those of live connections, tracked or lost.
func mute() []string {
	return []string{
		"fib saddr type != local accept",
		assured + " accept",
		"tcp flags & ack == ack tcp sequence != 0 accept",
		"tcp flags & ack == ack ct state established,untracked accept",
		"ip daddr @allow4 accept",
		"ip6 daddr @allow6 accept",
		"drop",
	}
}

// answered leads the clients that spoke before to a chain of their family.
func answered(chain string) []string {
	var rules []string
	for _, f := range families {
		rules = append(rules, f.pair()+" @"+f.set(heard)+" goto "+f.set(chain))
	}
	return rules
}

// join makes a client of a public port one of the crowd, and a friend, as long
// as there is room for both.
func (f family) join() []string {
	return []string{
		f.remember("update", crowd, f.pair(), portsnare.FriendTime) + " goto " + f.set("befriend"),
		noRoom(crowd),
	}
}

func (f family) befriend() []string {
	return []string{
		f.remember("update", friends, f.pair(), portsnare.FriendTime) + " accept",
		noRoom(friends),
	}
}

// noRoom notes for a while that a memory has no room for somebody.
func noRoom(kind string) string {
	return fmt.Sprintf("update @%s { meta nfproto timeout %s }", full+kind, duration(fullTime))
}

// source is where a packet came from, pair to whom and from which of our ports
// it goes.
func (f family) source() string { return f.ip + " saddr" + f.mask }
func (f family) pair() string   { return f.ip + " daddr" + f.mask + " . tcp sport" }

// from joins the source to other parts of a key.
func (f family) from(rest string) string { return f.source() + " . " + rest }

// remember adds a key to the family's set of a kind, or updates it.
func (f family) remember(verb, kind, key string, timeout time.Duration) string {
	return fmt.Sprintf("%s @%s { %s timeout %s }", verb, f.set(kind), key, duration(timeout))
}

// duration returns such as "3600s", or "700ms" where seconds are too coarse.
func duration(d time.Duration) string {
	if d%time.Second != 0 {
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// rules writes the chains of one family.
type rules struct {
	family
	policy   portsnare.Policy
	alarm    bool
	cloud    bool
	forwards bool
	group    uint16
}

// chains returns the family's chains.
func (f family) chains(o kernel.State, opts Options, forwards bool) []chain {
	r := rules{family: f, policy: o.Policy, alarm: o.Alarm, cloud: o.CloudFirewall, forwards: forwards, group: opts.LogGroup}
	all := []chain{
		{f.set("syn"), hook{}, r.syn()},
		{f.set("trap"), hook{}, r.trap()},
		{f.set("udp"), hook{}, r.udp()},
		{f.set("strike"), hook{}, r.strike()},
		{f.set("fire"), hook{}, r.fire()},
		{f.set("join"), hook{}, f.join()},
		{f.set("befriend"), hook{}, f.befriend()},
	}
	if r.guarded() {
		all = append(all, chain{f.set("hidden"), hook{}, r.hidden()})
	}
	if r.delays() {
		all = append(all,
			chain{f.set("knock"), hook{}, r.knock(kernel.HastyTime, "")},
			chain{f.set("plain"), hook{}, r.knock(kernel.PlainTime, r.remember("update", hasty, r.knocking(), kernel.PlainTime)+" ")},
			chain{f.set("retransmit"), hook{}, r.retransmit()},
		)
	}
	return all
}

// guarded reports whether not everybody may knock at a hidden port.
func (r rules) guarded() bool { return r.alarm || r.policy.Delay }

// delays reports whether strangers have to knock twice. An alarm keeps them out
// altogether.
func (r rules) delays() bool { return r.policy.Delay && !r.alarm }

func (r rules) syn() []string {
	rules := []string{"tcp dport @trap_tcp goto " + r.set("trap")}
	if r.guarded() {
		rules = append(rules, "tcp dport @hidden_tcp goto "+r.set("hidden"))
	}
	return rules
}

// friend deals with friends of the port, stranger matches all others.
func (f family) friend(verdict string) string {
	return f.from("tcp dport") + " @" + f.set(friends) + " " + verdict
}

func (f family) stranger() string { return f.from("tcp dport") + " != @" + f.set(friends) + " " }

// untouched lets through what never concerns us.
func (r rules) untouched() []string {
	return []string{forwarded + " accept", fromUs + " accept", r.allowed()}
}

func (r rules) allowed() string { return r.ip + " saddr @" + r.set(allow) + " accept" }

// trap takes a SYN. Whether it is addressed to this host at all is asked last,
// since it costs most: what is forwarded is never remembered as a hit.
func (r rules) trap() []string {
	rules := []string{r.allowed(), anySocket + " accept"} // the latter to stray
	return append(rules, r.count(forwarded+" accept")...)
}

// udp drops and counts UDP packets to a trap. Behind a cloud firewall a socket
// never had such a packet unless it had asked for it, which is not to be known
// of a flow that is exempt from tracking.
func (r rules) udp() []string {
	rules := append([]string{
		r.banned("ct state new", "", r.forwards),
		"udp dport != @trap_udp accept",
	}, r.untouched()...)
	if r.cloud {
		rules = append(rules, "ct state untracked "+anySocket+" accept", anySocket+" drop")
	} else {
		rules = append(rules, anySocket+" accept")
	}
	return append(rules, r.count()...)
}

// count takes a hit. A repetition is kept in memory for another window. A first
// one, unless something exempts it, counts if it can be remembered, or it would be
// counted again with every repetition: an add without room ends its rule.
func (r rules) count(exempt ...string) []string {
	key := r.from("meta l4proto . th dport")
	again := key + " @" + r.set(hit) + " " + r.remember("update", hit, key, r.policy.Window) + " drop"
	return append(append([]string{again}, exempt...),
		r.remember("add", hit, key, r.policy.Window)+" goto "+r.set("strike"),
		noRoom(hit),
		"drop",
	)
}

// strike leaves a friend of the port alone, fires if it may, logs a first hit, and
// adds a strike to the smallest slot that is empty.
func (r rules) strike() []string {
	rules := []string{
		r.friend("drop"), // what is a trap now was protected once
		"tcp dport != @bait_tcp " + r.filled(r.policy.Strikes-1) + "goto " + r.set("fire"),
		logRate + " " + r.log(kernel.LogHit),
	}
	for i := 1; i <= kernel.Slots(r.policy); i++ {
		rules = append(rules, fmt.Sprintf("%s%s != @%s add @%s { %s timeout %s } drop",
			r.filled(i-1), r.source(), r.slot(i), r.slot(i), r.source(), duration(r.policy.Window)))
	}
	return append(rules, r.filled(kernel.Slots(r.policy))+"drop", noRoom(strike), "drop")
}

// filled matches a source that stands in each of the first n slots.
func (r rules) filled(n int) string {
	var matches string
	for i := 1; i <= n; i++ {
		matches += r.source() + " @" + r.slot(i) + " "
	}
	return matches
}

func (r rules) fire() []string {
	return []string{
		fromUs + " drop",
		r.remember("add", ban, r.source(), r.policy.BanMin) + " " + r.log(kernel.LogBan) + " drop",
		noRoom(ban),
		"drop",
	}
}

// hidden keeps strangers off the hidden ports.
func (r rules) hidden() []string {
	rules := append(r.untouched(), r.friend("accept"))
	if r.alarm {
		return append(rules, "drop")
	}
	return append(rules, offerSACK+" goto "+r.set("knock"), "goto "+r.set("plain"))
}

// knock takes the SYN of a stranger, who must not come again before the hasty
// time is over. What happens to who does is another statement.
func (r rules) knock(hastyTime time.Duration, again string) []string {
	first := r.remember("add", grey, r.knocking(), kernel.GreyTime) + " " + r.remember("add", hasty, r.knocking(), hastyTime)
	return []string{
		r.knocking() + " @" + r.set(hasty) + " " + again + "drop",
		r.knocking() + " @" + r.set(grey) + " goto " + r.set("retransmit"),
		first + " drop",
		noRoom(grey),
	}
}

// knocking is what a SYN and its retransmit have in common.
func (r rules) knocking() string { return r.ip + " saddr . tcp sport . tcp dport" }

// retransmit lets a client in that knocked twice and touched no trap.
func (r rules) retransmit() []string {
	var rules []string
	for i := 1; i <= kernel.Slots(r.policy); i++ {
		rules = append(rules, r.source()+" @"+r.slot(i)+" drop")
	}
	return rules
}

func (r rules) log(prefix string) string {
	return fmt.Sprintf("log prefix %q group %d snaplen %d", prefix, r.group, kernel.LogBytes)
}
