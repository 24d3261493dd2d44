package kernel

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/portsnare/portsnare"
)

// Rehearsals returns states that together need all that any state needs of a
// kernel: delay and alarm, TCP and UDP, both families, with and without a cloud
// firewall, the most strikes, bans and friends. A backend whose program for each
// of them loads has what it takes.
func Rehearsals(now time.Time) []State {
	ports := func(from, to uint16, p portsnare.Protocol) portsnare.PortSet {
		return portsnare.NewPortSet(portsnare.PortRange{Protocol: p, From: from, To: to})
	}
	sources := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/64")} // of nobody (RFC 5737, RFC 3849)
	delay := State{Order: portsnare.Order{
		Host: "check", Group: "check", Policy: portsnare.DefaultPolicy(), CloudFirewall: true,
		Traps: portsnare.Traps{
			Secret: ports(4001, 4009, portsnare.TCP).Union(ports(4001, 4009, portsnare.UDP)),
			Bait:   ports(3001, 3009, portsnare.TCP),
		},
		Protected: ports(22, 22, portsnare.TCP).Union(ports(443, 443, portsnare.TCP)).Union(ports(53, 53, portsnare.UDP)),
		Public:    ports(443, 443, portsnare.TCP),
		Allow:     []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:1::/48")},
	}}
	delay.Policy.Delay, delay.Policy.Strikes = true, portsnare.MaxStrikes
	for _, source := range sources {
		delay.Bans = append(delay.Bans, portsnare.Ban{Source: source, Until: now.Add(time.Hour)})
		for port := range delay.Protected.Of(portsnare.TCP).All() {
			delay.Friends = append(delay.Friends, portsnare.Friend{Source: source, Port: port, Until: now.Add(time.Hour)})
		}
	}
	alarm := delay
	alarm.Policy.Delay, alarm.Alarm, alarm.CloudFirewall = false, true, false
	return []State{delay, alarm}
}

// Missing finds out why one of several rules does not load: it tries the rules one
// by one, of those that need the same abilities one, and returns the abilities that
// no rule has that loads, sorted. Where only a certain use of an ability fails, it
// returns that rule. Cause is the first failure; it is nil if all load by themselves.
func Missing(rules []string, abilities func(rule string) []string, try func(rule string) error) (names []string, cause error) {
	tried, works := map[string]bool{}, map[string]bool{}
	var failed []string
	for _, rule := range rules {
		if tried[rule] {
			continue
		}
		tried[rule] = true
		err := try(rule)
		if err != nil && cause == nil {
			cause = err
		}
		if err != nil {
			failed = append(failed, rule)
			continue
		}
		for _, ability := range abilities(rule) {
			works[ability] = true
		}
	}
	for _, rule := range failed {
		lacking := slices.DeleteFunc(slices.Clone(abilities(rule)), func(a string) bool { return works[a] })
		if len(lacking) == 0 {
			lacking = []string{rule}
		}
		names = append(names, lacking...)
	}
	slices.Sort(names)
	return slices.Compact(names), cause
}

// Lack returns the error of kind [portsnare.Unavailable] that says what a kernel or a
// program lacks, in the words in which cause says it, and the hint.
func Lack(what string, cause error, hint string) error {
	var e *portsnare.Error
	if errors.As(cause, &e) && e.Err != nil {
		cause = e.Err // without its hint, which knows less
	}
	return &portsnare.Error{Kind: portsnare.Unavailable, Op: "load", Subject: strings.TrimSpace(what), Err: cause, Hint: hint}
}

// MayLack reports whether an error may mean that something is missing: a program
// that is too old does not understand what a newer one does.
func MayLack(err error) bool {
	return errors.Is(err, portsnare.Unavailable) || errors.Is(err, portsnare.Invalid) || errors.Is(err, portsnare.Conflict)
}
