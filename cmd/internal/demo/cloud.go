package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/hostagent/netlab"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

// cloud is the middle of the world: an EC2 endpoint, and a packet filter that
// admits what the endpoint holds at that moment. A change is in force before
// the endpoint confirms it, so what the SDK was told is what packets meet.
type cloud struct {
	*ec2fake.Fake
	ns       *netlab.Namespace
	group    string // sg-...
	endpoint string // http://127.0.0.1:port, inside the namespace
	required portsnare.PortSet

	mu   sync.Mutex
	shut time.Time     // since when a protected port is not admitted; zero if all are
	gap  time.Duration // how long that was the case in all
}

// frame is the filter without the rules of the security group. Whatever leaves
// the server from another port than its services' is an answer that a trap, or
// a port that should look like one, has given.
const frame = `table inet cloud {
	counter answers { }
	chain admit { }
	chain outward {
		tcp sport { %[1]s } accept
		icmp type { echo-reply, echo-request } accept
		icmpv6 type { echo-reply, echo-request, nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept
		counter name answers accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		iifname "inside" goto outward
		ct state established,related accept
		icmp type echo-request accept
		icmpv6 type echo-request accept
		jump admit
	}
}
`

// newCloud puts the filter and the endpoint into ns, with one security group
// that admits the server's services and nothing else.
func newCloud(ctx context.Context, ns *netlab.Namespace, services portsnare.PortSet) (*cloud, net.Listener, error) {
	c := &cloud{Fake: ec2fake.New(ec2fake.Options{Region: region, AccessKeyIDs: []string{accessKeyID}}), ns: ns, required: services}
	var numbers []string
	for p := range services.All() {
		numbers = append(numbers, fmt.Sprint(p.Number))
	}
	if err := c.nft(ctx, fmt.Sprintf(frame, strings.Join(numbers, ", "))); err != nil {
		return nil, nil, err
	}
	c.group = c.CreateGroup("web")
	c.OnChange(func(_ string, rules []ec2fake.Rule) error {
		c.watch(rules)
		return c.nft(ctx, filter(rules))
	})
	for p := range services.All() {
		for _, source := range portsnare.AnySource() {
			rule := ec2fake.Rule{Protocol: p.Protocol.String(), FromPort: int(p.Number), ToPort: int(p.Number),
				CIDR: source, Description: "made by a human"}
			if _, err := c.AddRule(c.group, rule); err != nil {
				return nil, nil, err
			}
		}
	}
	listener, err := ns.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		c.endpoint = "http://" + listener.Addr().String()
	}
	return c, listener, err
}

// filter returns the nft commands that make the filter admit these rules.
func filter(rules []ec2fake.Rule) string {
	var b strings.Builder
	b.WriteString("flush chain inet cloud admit\n")
	for _, r := range rules {
		family := "ip"
		if r.CIDR.Addr().Is6() {
			family = "ip6"
		}
		fmt.Fprintf(&b, "add rule inet cloud admit %s saddr %s %s dport %d-%d accept\n",
			family, r.CIDR, r.Protocol, r.FromPort, r.ToPort)
	}
	return b.String()
}

// watch keeps account of how long a protected port was not admitted.
func (c *cloud) watch(rules []ec2fake.Rule) {
	four, six := openPorts(rules, func(r ec2fake.Rule) bool { return r.CIDR.Bits() == 0 })
	missing := c.required.Minus(four.Intersect(six))

	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	if !missing.Empty() {
		c.shut = time.Now()
	}
}

// openPorts returns the ports that the chosen of the rules open to each family.
func openPorts(rules []ec2fake.Rule, chosen func(ec2fake.Rule) bool) (four, six portsnare.PortSet) {
	for _, r := range rules {
		protocol, err := portsnare.ParseProtocol(r.Protocol)
		if err != nil || !chosen(r) {
			continue
		}
		open := portsnare.NewPortSet(portsnare.PortRange{Protocol: protocol, From: uint16(r.FromPort), To: uint16(r.ToPort)})
		if r.CIDR.Addr().Is6() {
			six = six.Union(open)
		} else {
			four = four.Union(open)
		}
	}
	return four, six
}

// settle adds the time since shut to the gap. c.mu is held.
func (c *cloud) settle() {
	if !c.shut.IsZero() {
		c.gap += time.Since(c.shut)
		c.shut = time.Time{}
	}
}

// resetGap forgets the gap so far: while the world was being built there was one.
func (c *cloud) resetGap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gap = 0
}

// protectedGap returns how long a protected port was not admitted.
func (c *cloud) protectedGap() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	return c.gap
}

// answers returns how many packets have left the server that no service sent.
func (c *cloud) answers(ctx context.Context) (int, error) {
	output, err := c.ns.Command(ctx, "nft", "--json", "list", "counter", "inet", "cloud", "answers").Output()
	if err != nil {
		return 0, err
	}
	var listing struct {
		Nftables []struct {
			Counter *struct{ Packets int }
		}
	}
	if err := json.Unmarshal(output, &listing); err != nil {
		return 0, fmt.Errorf("read nft's answer: %w", err)
	}
	for _, item := range listing.Nftables {
		if item.Counter != nil {
			return item.Counter.Packets, nil
		}
	}
	return 0, fmt.Errorf("nft lists no counter: %s", output)
}

func (c *cloud) nft(ctx context.Context, commands string) error {
	cmd := c.ns.Command(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(commands)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(output))
	}
	return nil
}
