package digitalocean

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/digitalocean/godo"

	"github.com/portsnare/portsnare"
)

// allPorts is how requests say every port. "all" is understood too, and was not
// in 2021.
const allPorts = "0"

// toRules tells one rule of DigitalOcean in our words: one Rule for each
// address, and one without a prefix for all sources that are something else.
// All have the same ID, and mark where the rule is one that we could have made.
func toRules(r godo.InboundRule, mark portsnare.Mark) ([]portsnare.Rule, error) {
	ports, err := toRange(r)
	if err != nil {
		return nil, err
	}
	template := portsnare.Rule{ID: idOf(r), Opening: portsnare.Opening{Range: ports}, Deny: denies(r)}
	sources, named, err := toSources(r.Sources)
	if err != nil {
		return nil, fmt.Errorf("rule %s: %w", template.ID, err)
	}
	if !named && !template.Deny && ports.To > 0 && len(sources) > 0 {
		template.Mark = mark
	}
	var rules []portsnare.Rule
	for _, s := range sources {
		rule := template
		rule.Opening.Source = s
		rules = append(rules, rule)
	}
	if named || len(rules) == 0 {
		rules = append(rules, template)
	}
	return rules, nil
}

// denies reports whether a rule refuses. One that does not say admits, and one
// that says what is not known is best taken for one that refuses: it is never
// ours and opens nothing.
func denies(r godo.InboundRule) bool {
	return r.Action != "" && r.Action != godo.FirewallRuleActionAllow
}

// toRange returns the empty range for ICMP and whatever else has no ports.
func toRange(r godo.InboundRule) (portsnare.PortRange, error) {
	protocol, err := portsnare.ParseProtocol(r.Protocol)
	if err != nil {
		return portsnare.PortRange{}, nil
	}
	if r.PortRange == "" || r.PortRange == "all" || r.PortRange == allPorts {
		return portsnare.PortRange{Protocol: protocol, From: 1, To: 65535}, nil
	}
	ports, err := portsnare.ParsePortRange(r.PortRange + "/" + protocol.String())
	if err != nil {
		return ports, fmt.Errorf("rule %s: %w", idOf(r), err)
	}
	return ports, nil
}

// toSources returns the addresses, and whether there are sources of another
// sort.
func toSources(s *godo.Sources) (sources []portsnare.Source, named bool, err error) {
	if s == nil {
		return nil, false, nil
	}
	for _, text := range s.Addresses {
		prefix, err := toSource(text)
		if err != nil {
			return nil, false, err
		}
		if !slices.Contains(sources, prefix) {
			sources = append(sources, prefix)
		}
	}
	return sources, len(s.Tags)+len(s.DropletIDs)+len(s.LoadBalancerUIDs)+len(s.KubernetesIDs) > 0, nil
}

func toSource(text string) (portsnare.Source, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, fmt.Errorf("%q is no address and no prefix", text)
	}
	return prefix.Masked(), nil
}

// idOf names a rule by everything that it says, as it has no other name:
// "tcp 8000-8009 from 0.0.0.0/0 ::/0".
func idOf(r godo.InboundRule) string {
	words := []string{r.Protocol, r.PortRange, "from"}
	if r.Action != "" && r.Action != godo.FirewallRuleActionAllow {
		words = append([]string{string(r.Action)}, words...)
	}
	if s := r.Sources; s != nil {
		words = append(words, s.Addresses...)
		words = append(words, labelled("tag:", s.Tags)...)
		words = append(words, labelled("droplet:", s.DropletIDs)...)
		words = append(words, labelled("load_balancer:", s.LoadBalancerUIDs)...)
		words = append(words, labelled("kubernetes:", s.KubernetesIDs)...)
	}
	return strings.Join(words, " ")
}

func labelled[T any](label string, items []T) []string {
	var words []string
	for _, item := range items {
		words = append(words, fmt.Sprint(label, item))
	}
	return words
}

// fromOpenings returns one rule that admits ports to sources.
func fromOpenings(ports portsnare.PortRange, sources []portsnare.Source) godo.InboundRule {
	text, _, _ := strings.Cut(ports.String(), "/")
	if ports.From == 1 && ports.To == 65535 {
		text = allPorts
	}
	addresses := make([]string, len(sources))
	for i, s := range sources {
		addresses[i] = s.String()
	}
	return godo.InboundRule{Protocol: ports.Protocol.String(), PortRange: text, Sources: &godo.Sources{Addresses: addresses}}
}
