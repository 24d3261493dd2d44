package aws_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/aws"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
	"github.com/portsnare/portsnare/providers/providertest"
)

// The walk in a security group that PORTSNARE_TEST_AWS names, wherever
// AWS_ENDPOINT_URL_EC2 is. See package providertest.
func TestConformanceOfAnAccount(t *testing.T) {
	group := os.Getenv("PORTSNARE_TEST_AWS")
	if group == "" {
		t.Skip("PORTSNARE_TEST_AWS names no security group that may be used up")
	}
	walkAccount(t, group)
}

// What walks an account is itself tried on the fake.
func TestConformanceOfAnAccountOnTheFake(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	t.Setenv("PORTSNARE_WALK", "30")
	environment(t, l, "AWS_REGION", ec2fake.DefaultRegion, "AWS_ACCESS_KEY_ID", ec2fake.DefaultAccessKeyID, "AWS_SECRET_ACCESS_KEY", "secret")
	walkAccount(t, l.group)
}

func walkAccount(t *testing.T, group string) {
	cfg, err := config.LoadDefaultConfig(t.Context())
	noError(t, err)
	providertest.Run(t, providertest.Provider{
		Mark: mark,
		New: func(*testing.T, int) providertest.Subject {
			count := &counter{next: http.DefaultTransport}
			client := ec2.NewFromConfig(cfg, func(o *ec2.Options) { o.HTTPClient = &http.Client{Transport: count} })
			s := providertest.Subject{
				Firewall: aws.New(client, group, mark),
				Human:    customer{ec2.NewFromConfig(cfg), group},
				Writes:   func() int { return int(count.writes.Load()) },
			}
			if os.Getenv("AWS_ENDPOINT_URL_EC2") == "" {
				s.Settle = func() { time.Sleep(5 * time.Second) } // EC2 itself shows a change late
			}
			return s
		},
		Writes: fewestWrites,
		Forms:  []providertest.Form{providertest.Plain, providertest.Marked},
	})
}

// counter counts writes by the action in the body.
type counter struct {
	next   http.RoundTripper
	writes atomic.Int64
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(form.Get("Action"), "Describe") {
		c.writes.Add(1)
	}
	return c.next.RoundTrip(r)
}

// customer is a human who uses the API, with the SDK's own retrying.
type customer struct {
	client *ec2.Client
	group  string
}

func (c customer) Rules() ([]providertest.Standing, error) {
	out, err := c.client.DescribeSecurityGroupRules(context.Background(), &ec2.DescribeSecurityGroupRulesInput{
		Filters:    []types.Filter{{Name: sdk.String("group-id"), Values: []string{c.group}}},
		MaxResults: sdk.Int32(1000),
	})
	if err != nil {
		return nil, err
	}
	var standing []providertest.Standing
	for _, r := range out.SecurityGroupRules {
		if !sdk.ToBool(r.IsEgress) {
			standing = append(standing, stand(r))
		}
	}
	return standing, nil
}

func stand(r types.SecurityGroupRule) providertest.Standing {
	s := providertest.Standing{}
	s.ID = sdk.ToString(r.SecurityGroupRuleId)
	s.Raw = fmt.Sprint(s.ID, sdk.ToString(r.IpProtocol), sdk.ToInt32(r.FromPort), sdk.ToInt32(r.ToPort),
		sdk.ToString(r.CidrIpv4), sdk.ToString(r.CidrIpv6), sdk.ToString(r.Description))
	for _, tag := range r.Tags {
		s.Raw += " " + sdk.ToString(tag.Key) + "=" + sdk.ToString(tag.Value)
		if sdk.ToString(tag.Key) == "portsnare" {
			s.Mark = portsnare.Mark(sdk.ToString(tag.Value))
		}
	}
	if prefix, err := netip.ParsePrefix(sdk.ToString(r.CidrIpv4) + sdk.ToString(r.CidrIpv6)); err == nil {
		s.Opening.Source = prefix
	}
	if protocol, err := portsnare.ParseProtocol(sdk.ToString(r.IpProtocol)); err == nil {
		s.Opening.Range = portsnare.PortRange{Protocol: protocol, From: uint16(sdk.ToInt32(r.FromPort)), To: uint16(sdk.ToInt32(r.ToPort))}
	}
	return s
}

func (c customer) Add(form providertest.Form, o portsnare.Opening) (string, error) {
	tag := types.Tag{Key: sdk.String("owner"), Value: sdk.String("ops")}
	if form == providertest.Marked {
		tag = types.Tag{Key: sdk.String("portsnare"), Value: sdk.String(string(mark))}
	}
	return c.make(o, tag)
}

func (c customer) make(o portsnare.Opening, tag types.Tag) (string, error) {
	p := types.IpPermission{IpProtocol: sdk.String(o.Range.Protocol.String()), FromPort: sdk.Int32(int32(o.Range.From)), ToPort: sdk.Int32(int32(o.Range.To))}
	if cidr := sdk.String(o.Source.String()); o.Source.Addr().Is4() {
		p.IpRanges = []types.IpRange{{CidrIp: cidr}}
	} else {
		p.Ipv6Ranges = []types.Ipv6Range{{CidrIpv6: cidr}}
	}
	out, err := c.client.AuthorizeSecurityGroupIngress(context.Background(), &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &c.group, IpPermissions: []types.IpPermission{p},
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroupRule, Tags: []types.Tag{tag}}},
	})
	if err != nil {
		return "", err
	}
	return sdk.ToString(out.SecurityGroupRules[0].SecurityGroupRuleId), nil
}

// Edit is for rules with our mark, the only ones that the walk edits.
func (c customer) Edit(id string, o portsnare.Opening) (string, error) {
	if err := c.Remove(id); err != nil {
		return "", err
	}
	return c.Add(providertest.Marked, o)
}

func (c customer) Remove(id string) error {
	_, err := c.client.RevokeSecurityGroupIngress(context.Background(), &ec2.RevokeSecurityGroupIngressInput{
		GroupId: &c.group, SecurityGroupRuleIds: []string{id},
	})
	return err
}
