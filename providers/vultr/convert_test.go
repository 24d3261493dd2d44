package vultr

import (
	"fmt"
	"testing"

	"github.com/vultr/govultr/v3"

	"github.com/portsnare/portsnare"
)

// What Vultr is not known to answer must not look like fewer open ports, nor
// like a rule of ours.
func TestToRule(t *testing.T) {
	type rule = govultr.FirewallRule
	plain := rule{ID: 7, Action: "accept", IPType: "v4", Protocol: "tcp", Port: "80", Subnet: "192.0.2.0", SubnetSize: 24, Notes: "portsnare:web"}
	but := func(change func(*rule)) rule {
		changed := plain
		change(&changed)
		return changed
	}
	v6 := func(subnet string, size int) func(*rule) {
		return func(r *rule) { r.IPType, r.Subnet, r.SubnetSize = "v6", subnet, size }
	}
	for _, tt := range []struct {
		rule rule
		want string
	}{
		{plain, "80/tcp from 192.0.2.0/24 of web"},
		{but(func(r *rule) { r.Protocol = "UDP" }), "80/udp from 192.0.2.0/24 of web"},
		{but(func(r *rule) { r.Port = "8000:9000" }), "8000-9000/tcp from 192.0.2.0/24 of web"},
		{but(func(r *rule) { r.Port = "0:9000" }), "1-9000/tcp from 192.0.2.0/24 of web"},
		{but(func(r *rule) { r.Port = "" }), "1-65535/tcp from 192.0.2.0/24 of web"},
		{but(func(r *rule) { r.Port = "0" }), "1-65535/tcp from 192.0.2.0/24 of web"},
		{but(func(r *rule) { r.Port = "80-90" }), "1-65535/tcp from 192.0.2.0/24 of web"},
		{but(func(r *rule) { r.Port = "90:80" }), "1-65535/tcp from 192.0.2.0/24 of web"},
		{but(func(r *rule) { r.Port = "80:65536" }), "1-65535/tcp from 192.0.2.0/24 of web"},
		{but(func(r *rule) { r.Protocol, r.Port = "icmp", "" }), "0/protocol-0 from 192.0.2.0/24 of web"},
		{but(func(r *rule) { r.Protocol, r.Port = "gre", "" }), "0/protocol-0 from 192.0.2.0/24 of web"},
		{but(func(r *rule) { r.Subnet = "192.0.2.123" }), "80/tcp from 192.0.2.0/24 of web"},
		{but(func(r *rule) { r.Source = "192.0.2.0/24" }), "80/tcp from 192.0.2.0/24 of web"},
		{but(func(r *rule) { r.Source = "192.0.2.9/24" }), "80/tcp from 192.0.2.0/24 of web"},
		{but(func(r *rule) { r.Source = "198.51.100.0/24" }), "80/tcp from a named source"},
		{but(func(r *rule) { r.Source = "cloudflare" }), "80/tcp from a named source"},
		{but(func(r *rule) { r.Source = "cb676a46-66fd-4dfb-b839-443f2e6c0b60" }), "80/tcp from a named source"},
		{but(func(r *rule) { r.Subnet = "" }), "80/tcp from a named source"},
		{but(func(r *rule) { r.SubnetSize = 33 }), "80/tcp from a named source"},
		{but(func(r *rule) { r.IPType = "v6" }), "80/tcp from a named source"},
		{but(v6("::", 0)), "80/tcp from ::/0 of web"},
		{but(v6("0:0:0:0:0:0:0:0", 0)), "80/tcp from ::/0 of web"},
		{but(v6("2001:0DB8::0001", 32)), "80/tcp from 2001:db8::/32 of web"},
		{but(v6("0.0.0.0", 0)), "80/tcp from a named source"},
		{but(func(r *rule) { r.Notes = "portsnare:db" }), "80/tcp from 192.0.2.0/24 of db"},
		{but(func(r *rule) { r.Notes = "portsnare:two words" }), "80/tcp from 192.0.2.0/24"},
		{but(func(r *rule) { r.Notes = "web" }), "80/tcp from 192.0.2.0/24"},
		{but(func(r *rule) { r.Action = "drop" }), "80/tcp from 192.0.2.0/24 of web refused"},
		{but(func(r *rule) { r.Action = "" }), "80/tcp from 192.0.2.0/24 of web"},
	} {
		got := toRule(tt.rule)
		text := got.Opening.String()
		if got.Mark != "" {
			text += " of " + string(got.Mark)
		}
		if got.Deny {
			text += " refused"
		}
		if text != tt.want || got.ID != "7" {
			t.Errorf("%+v: rule %s, %s\nwant 7, %s", tt.rule, got.ID, text, tt.want)
		}
	}
}

// What is asked for is told as what was wanted.
func TestFromOpening(t *testing.T) {
	for _, text := range []string{"80/tcp", "1-65535/udp", "65535/tcp", "8000-9000/tcp"} {
		r, err := portsnare.ParsePortRange(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range portsnare.OpeningsOf([]portsnare.PortRange{r}, portsnare.AnySource()...) {
			asked := fromOpening(o, "web")
			got := toRule(govultr.FirewallRule{
				ID: 1, IPType: asked.IPType, Protocol: asked.Protocol, Port: asked.Port,
				Subnet: asked.Subnet, SubnetSize: asked.SubnetSize, Source: asked.Source, Notes: asked.Notes,
			})
			if want := (portsnare.Rule{ID: "1", Opening: o, Mark: "web"}); got != want {
				t.Errorf("%s: %+v, want %+v", fmt.Sprint(o), got, want)
			}
		}
	}
}
