package ec2fake

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// A draft is a rule as a caller spells it, unchecked.
type draft struct {
	protocol    string
	from, to    *int
	sources     []draftSource
	description string
}

type draftSource struct {
	kind  sourceKind
	value string
}

// draft spells a rule that did not come by the API, so that it passes the same
// checks.
func (r Rule) draft() draft {
	d := draft{protocol: r.Protocol, from: &r.FromPort, to: &r.ToPort, description: r.Description}
	if r.CIDR.IsValid() {
		bare := Rule{CIDR: r.CIDR}
		d.sources = append(d.sources, draftSource{bare.kind(), bare.source()})
	}
	if r.PrefixListID != "" {
		d.sources = append(d.sources, draftSource{prefixList, r.PrefixListID})
	}
	if r.ReferencedGroupID != "" {
		d.sources = append(d.sources, draftSource{referencedGroup, r.ReferencedGroupID})
	}
	return d
}

// rule checks d and returns it in AWS's canonical spelling. Its errors are
// those of AWS.
func (d draft) rule() (Rule, error) {
	r := Rule{Description: d.description}
	for _, step := range []func(*Rule) error{d.setSource, d.setProtocol, d.setPorts, checkDescription} {
		if err := step(&r); err != nil {
			return Rule{}, err
		}
	}
	return r, nil
}

// setSource's messages about the number of sources are verified on AWS
// (getmoto/moto, test_modify_security_group_rules).
func (d draft) setSource(r *Rule) error {
	switch len(d.sources) {
	case 0:
		return refuse("MissingParameter",
			"The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId")
	case 1:
		return d.sources[0].set(r)
	default:
		return refuse("InvalidParameterCombination",
			"Only one of cidrIp, cidrIpv6, prefixListId, or referencedGroupId can be specified")
	}
}

var prefixListID = regexp.MustCompile(`^pl-[0-9a-f]{8,17}$`)

func (s draftSource) set(r *Rule) error {
	switch s.kind {
	case prefixList:
		if !prefixListID.MatchString(s.value) {
			return refuse("InvalidPrefixListId.Malformed", `Invalid id: "%s" (expecting "pl-...")`, s.value)
		}
		r.PrefixListID = s.value
	case referencedGroup:
		r.ReferencedGroupID = s.value
		return checkGroupID(s.value)
	default:
		prefix, err := netip.ParsePrefix(s.value)
		if err != nil || prefix.Addr().Is4() != (s.kind == cidrIPv4) {
			return invalid("CIDR block %s is malformed", s.value) // NixOS/nixops#683
		}
		r.CIDR = prefix.Masked()
	}
	return nil
}

var protocolNames = map[int]string{1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}

func (d draft) setProtocol(r *Rule) error {
	name := strings.ToLower(d.protocol)
	switch name {
	case "":
		return invalid("Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.")
	case "tcp", "udp", "icmp", "icmpv6", "-1":
		r.Protocol = name
		return nil
	}
	number, err := strconv.Atoi(name)
	if err != nil || number < 0 || number > 255 {
		return invalid("Invalid value '%s' for IP protocol. Unknown protocol.", d.protocol) // hashicorp/terraform-provider-aws#1793
	}
	r.Protocol = name
	if known, ok := protocolNames[number]; ok {
		r.Protocol = known
	}
	return nil
}

func (d draft) setPorts(r *Rule) error {
	switch r.Protocol {
	case "tcp", "udp":
		return d.setPortRange(r)
	case "icmp", "icmpv6":
		return d.setICMPType(r)
	}
	r.FromPort, r.ToPort = -1, -1
	if r.Protocol == "-1" && (number(d.from) != -1 || number(d.to) != -1) {
		// aws-ia/terraform-aws-genai-document-ingestion-rag#36
		return invalid("You may not specify all protocols and specific ports. Please specify each protocol and port range combination individually, or all protocols and no port range.")
	}
	return nil
}

func (d draft) setPortRange(r *Rule) error {
	if d.from == nil || d.to == nil {
		return invalid("Invalid value for portRange. Must specify both from and to ports with TCP/UDP.")
	}
	r.FromPort, r.ToPort = *d.from, *d.to
	switch {
	case r.FromPort < 0 || r.FromPort > 65535:
		return invalid("TCP/UDP (from) port (%d) out of range", r.FromPort) // aws/aws-cli#1066
	case r.ToPort < 0 || r.ToPort > 65535:
		return invalid("TCP/UDP (to) port (%d) out of range", r.ToPort)
	case r.FromPort > r.ToPort:
		return invalid("Invalid TCP/UDP port range (%d:%d)", r.FromPort, r.ToPort)
	}
	return nil
}

// setICMPType: the "ports" of ICMP are its type and code.
func (d draft) setICMPType(r *Rule) error {
	r.FromPort, r.ToPort = number(d.from), number(d.to)
	switch {
	case r.FromPort < -1 || r.FromPort > 255:
		return invalid("ICMP type (%d) out of range", r.FromPort)
	case r.ToPort < -1 || r.ToPort > 255:
		return invalid("ICMP code (%d) out of range", r.ToPort) // terraform-aws-modules/terraform-aws-security-group#7
	case r.FromPort == -1 && r.ToPort != -1:
		return invalid("ICMP code (%d) must be -1 when the ICMP type is -1", r.ToPort)
	}
	return nil
}

// number is the port meant by p: absent means all.
func number(p *int) int {
	if p == nil {
		return -1
	}
	return *p
}

// descriptionOK is the set that AWS's own message names; in practice a
// description of 255 characters is the longest that it takes.
var descriptionOK = regexp.MustCompile(`^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}$`)

func checkDescription(r *Rule) error {
	if !descriptionOK.MatchString(r.Description) {
		return invalid("Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
	}
	return nil
}
