package dofake

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Limits of a firewall:
// https://docs.digitalocean.com/products/networking/firewalls/details/limits/
// (read 2026-11-21).
const (
	maxRules    = 50 // inbound and outbound together
	maxSources  = 1000
	maxDroplets = 10
	maxTags     = 5
)

// Target is where the traffic of a rule comes from or goes to.
type Target struct {
	Addresses       []string `json:"addresses,omitempty"`
	Tags            []string `json:"tags,omitempty"`
	DropletIDs      []int    `json:"droplet_ids,omitempty"`
	LoadBalancerIDs []string `json:"load_balancer_uids,omitempty"`
	KubernetesIDs   []string `json:"kubernetes_ids,omitempty"`
}

func (t Target) len() int {
	return len(t.Addresses) + len(t.Tags) + len(t.DropletIDs) + len(t.LoadBalancerIDs) + len(t.KubernetesIDs)
}

// overlaps reports whether something is named in both.
func (t Target) overlaps(other Target) bool {
	return meet(t.Addresses, other.Addresses) || meet(t.Tags, other.Tags) || meet(t.DropletIDs, other.DropletIDs) ||
		meet(t.LoadBalancerIDs, other.LoadBalancerIDs) || meet(t.KubernetesIDs, other.KubernetesIDs)
}

func meet[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(v T) bool { return slices.Contains(b, v) })
}

// A Rule is one rule of a firewall. It has Sources if it is inbound and
// Destinations if it is outbound.
type Rule struct {
	Protocol     string  `json:"protocol"` // tcp, udp, icmp
	Ports        string  `json:"ports"`    // "22", "8000-9000", "0" for all
	Action       string  `json:"action"`   // allow, deny
	Sources      *Target `json:"sources,omitempty"`
	Destinations *Target `json:"destinations,omitempty"`
}

// String returns the rule as JSON, which is all that there is of it.
func (r Rule) String() string {
	text, err := json.Marshal(r)
	if err != nil { // strings and numbers always marshal
		panic(err)
	}
	return string(text)
}

func (r Rule) target() Target {
	switch {
	case r.Sources != nil:
		return *r.Sources
	case r.Destinations != nil:
		return *r.Destinations
	}
	return Target{}
}

// collides reports whether the API refuses both rules in one firewall.
func (r Rule) collides(other Rule) bool {
	return r.Protocol == other.Protocol && r.Ports == other.Ports && r.Action == other.Action && r.target().overlaps(other.target())
}

func (r Rule) equal(other Rule) bool { return r.String() == other.String() }

// normal returns r as the API keeps it, or an error if it does not take it.
func (r Rule) normal(inbound bool) (Rule, error) {
	if r.Action == "" {
		r.Action = "allow"
	}
	targets := r.target()
	switch {
	case r.Action != "allow" && r.Action != "deny":
		return r, unprocessable("action must be allow or deny")
	case (r.Sources == nil) == inbound:
		return r, unprocessable("a rule must have sources if it is inbound and destinations if it is outbound")
	case targets.len() == 0 || targets.len() > maxSources:
		return r, unprocessable("a rule must have between 1 and %d sources or destinations", maxSources)
	case !slices.Contains([]string{"tcp", "udp", "icmp"}, r.Protocol):
		return r, unprocessable("protocol must be one of tcp, udp, icmp")
	case r.Protocol == "icmp":
		r.Ports = "0"
	case !validPorts(r.Ports):
		return r, unprocessable("invalid ports %q", r.Ports)
	}
	for _, a := range targets.Addresses {
		if !validAddress(a) {
			return r, unprocessable("invalid address %q", a)
		}
	}
	return r.clone(), nil
}

func validPorts(text string) bool {
	if text == "0" {
		return true
	}
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	return err1 == nil && err2 == nil && from >= 1 && from <= to && !(isRange && from == to)
}

func validAddress(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	_, err := netip.ParsePrefix(text)
	return err == nil
}

func (r Rule) clone() Rule {
	for _, t := range []**Target{&r.Sources, &r.Destinations} {
		if *t != nil {
			c := **t
			c.Addresses, c.Tags, c.DropletIDs = slices.Clone(c.Addresses), slices.Clone(c.Tags), slices.Clone(c.DropletIDs)
			c.LoadBalancerIDs, c.KubernetesIDs = slices.Clone(c.LoadBalancerIDs), slices.Clone(c.KubernetesIDs)
			*t = &c
		}
	}
	return r
}

func cloneRules(rules []Rule) []Rule {
	out := make([]Rule, len(rules))
	for i, r := range rules {
		out[i] = r.clone()
	}
	return out
}

// normalRules checks the rules of one request, each for itself and all with
// each other.
func normalRules(rules []Rule, inbound bool) ([]Rule, error) {
	out := make([]Rule, 0, len(rules))
	for _, r := range rules {
		n, err := r.normal(inbound)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, n.collides) {
			return nil, unprocessable("duplicate rules are not allowed")
		}
		out = append(out, n)
	}
	return out, nil
}
