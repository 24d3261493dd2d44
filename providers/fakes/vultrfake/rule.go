package vultrfake

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Rule is one rule of a firewall group. It admits Subnet, unless a Source is
// named.
type Rule struct {
	Number   int    // in its group, given by the fake
	Protocol string // tcp, udp, icmp, gre, esp or ah
	Port     string // "80" or "8000:9000" for tcp and udp, else empty
	Subnet   netip.Prefix
	Source   string // empty, "cloudflare" or the id of a load balancer
	Notes    string
}

var (
	uuid      = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	portless  = []string{"icmp", "gre", "esp", "ah"}
	portBased = []string{"tcp", "udp"}
)

func (r Rule) check() error {
	switch {
	case !r.Subnet.IsValid():
		return refuse("Invalid subnet.")
	case r.Source != "" && r.Source != "cloudflare" && !uuid.MatchString(r.Source):
		return refuse("Invalid source.")
	case slices.Contains(portless, r.Protocol):
		if r.Port != "" {
			return refuse("A port needs the protocol tcp or udp.")
		}
	case !slices.Contains(portBased, r.Protocol):
		return refuse("Invalid protocol.")
	case !goodPort(r.Port):
		return refuse("Invalid port.")
	}
	return nil
}

// goodPort reports whether s is a port or a range of several.
func goodPort(s string) bool {
	first, last, isRange := strings.Cut(s, ":")
	from, err := strconv.ParseUint(first, 10, 16)
	if err != nil || from == 0 {
		return false
	}
	to, err := strconv.ParseUint(last, 10, 16)
	return !isRange || err == nil && from < to
}

// same reports whether two rules admit the same, whatever their notes.
func (r Rule) same(other Rule) bool {
	return r.Protocol == other.Protocol && r.Port == other.Port && r.Source == other.Source &&
		(r.Subnet.Masked() == other.Subnet.Masked() || r.Source != "" && r.ipType() == other.ipType())
}

func (r Rule) ipType() string {
	if r.Subnet.Addr().Is4() {
		return "v4"
	}
	return "v6"
}

// wireRule is a rule as it is answered:
// https://www.vultr.com/api/#tag/firewall/operation/get-firewall-group-rule
type wireRule struct {
	ID         int    `json:"id"`
	Type       string `json:"type"`
	IPType     string `json:"ip_type"`
	Action     string `json:"action"`
	Protocol   string `json:"protocol"`
	Port       string `json:"port"`
	Subnet     string `json:"subnet"`
	SubnetSize int    `json:"subnet_size"`
	Source     string `json:"source"`
	Notes      string `json:"notes"`
}

func (o Options) wire(r Rule) wireRule {
	w := wireRule{
		ID: r.Number, Type: r.ipType(), IPType: r.ipType(), Action: "accept", Protocol: r.Protocol, Port: r.Port,
		Subnet: r.Subnet.Addr().String(), SubnetSize: r.Subnet.Bits(), Source: r.Source, Notes: r.Notes,
	}
	if o.LongIPv6 && r.Subnet.Addr().Is6() {
		w.Subnet = r.Subnet.Addr().StringExpanded()
	}
	if !o.EmptySource {
		w.Source = cmp.Or(r.Source, r.Subnet.String())
	}
	return w
}

// wireRequest is a rule as it is asked for.
type wireRequest struct {
	IPType     string `json:"ip_type"`
	Protocol   string `json:"protocol"`
	Port       string `json:"port"`
	Subnet     string `json:"subnet"`
	SubnetSize *int   `json:"subnet_size"`
	Source     string `json:"source"`
	Notes      string `json:"notes"`
}

func (w wireRequest) rule() (Rule, error) {
	address, err := netip.ParseAddr(w.Subnet)
	switch {
	case w.IPType != "v4" && w.IPType != "v6":
		return Rule{}, refuse("Invalid ip_type.")
	case err != nil || address.Is4() != (w.IPType == "v4") || address.Is4In6() || address.Zone() != "":
		return Rule{}, refuse("Invalid subnet.")
	case w.SubnetSize == nil:
		return Rule{}, refuse("Invalid subnet_size.")
	}
	r := Rule{Protocol: w.Protocol, Port: w.Port, Subnet: netip.PrefixFrom(address, *w.SubnetSize), Source: w.Source, Notes: w.Notes}
	return r, r.check()
}
