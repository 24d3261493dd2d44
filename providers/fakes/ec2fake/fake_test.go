package ec2fake_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

// A lab is a fake with one group, and the real SDK in front of it.
type lab struct {
	*ec2fake.Fake
	t      *testing.T
	url    string
	group  string
	client *ec2.Client // does not retry
}

func newLab(t *testing.T, o ec2fake.Options) *lab {
	t.Helper()
	f := ec2fake.New(o)
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	l := &lab{Fake: f, t: t, url: server.URL, group: f.CreateGroup("web")}
	l.client = l.sdk()
	return l
}

// sdk returns a client of the lab's server, by default with its key and region
// and without retries.
func (l *lab) sdk(options ...func(*ec2.Options)) *ec2.Client {
	base := ec2.Options{
		Region:       ec2fake.DefaultRegion,
		BaseEndpoint: aws.String(l.url),
		Credentials:  credentials.NewStaticCredentialsProvider(ec2fake.DefaultAccessKeyID, "secret", ""),
		Retryer:      aws.NopRetryer{},
		HTTPClient:   ownBody{awshttp.NewBuildableClient()},
	}
	return ec2.New(base, options...)
}

// retrying makes a client retry as the SDK does by default, without its pauses.
func retrying(o *ec2.Options) {
	o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
	})
}

func (l *lab) authorize(permissions ...types.IpPermission) (*ec2.AuthorizeSecurityGroupIngressOutput, error) {
	return l.client.AuthorizeSecurityGroupIngress(context.Background(), &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: aws.String(l.group), IpPermissions: permissions,
	})
}

func (l *lab) revoke(ids ...string) (*ec2.RevokeSecurityGroupIngressOutput, error) {
	return l.client.RevokeSecurityGroupIngress(context.Background(), &ec2.RevokeSecurityGroupIngressInput{
		GroupId: aws.String(l.group), SecurityGroupRuleIds: ids,
	})
}

func (l *lab) modify(updates ...types.SecurityGroupRuleUpdate) error {
	_, err := l.client.ModifySecurityGroupRules(context.Background(), &ec2.ModifySecurityGroupRulesInput{
		GroupId: aws.String(l.group), SecurityGroupRules: updates,
	})
	return err
}

// add is a rule made at the console.
func (l *lab) add(r ec2fake.Rule) string {
	l.t.Helper()
	id, err := l.AddRule(l.group, r)
	if err != nil {
		l.t.Fatal(err)
	}
	return id
}

// wantPorts checks which ports of the group are open, in the order in which the
// rules were made.
func (l *lab) wantPorts(want ...int) {
	l.t.Helper()
	var got []int
	for _, r := range l.Rules(l.group) {
		got = append(got, r.FromPort)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		l.t.Errorf("open ports (-want +got):\n%s", d)
	}
}

// tcp is a permission for one port.
func tcp(port int32, v4 ...string) types.IpPermission {
	p := types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(port), ToPort: aws.Int32(port)}
	for _, cidr := range v4 {
		p.IpRanges = append(p.IpRanges, types.IpRange{CidrIp: aws.String(cidr)})
	}
	return p
}

func tcp6(port int32, v6 ...string) types.IpPermission {
	p := tcp(port)
	for _, cidr := range v6 {
		p.Ipv6Ranges = append(p.Ipv6Ranges, types.Ipv6Range{CidrIpv6: aws.String(cidr)})
	}
	return p
}

const everyone = "0.0.0.0/0"

// consoleRule opens one TCP port to everyone.
func consoleRule(port int) ec2fake.Rule {
	return ec2fake.Rule{Protocol: "tcp", FromPort: port, ToPort: port, CIDR: netip.MustParsePrefix(everyone)}
}

// wantError checks the code and the HTTP status of an error of the SDK; a
// message is checked if one is given.
func wantError(t *testing.T, err error, status int, code string, message ...string) {
	t.Helper()
	var api smithy.APIError
	var reply *awshttp.ResponseError
	if !errors.As(err, &api) || !errors.As(err, &reply) {
		t.Fatalf("error = %v, want %s", err, code)
	}
	if got := fmt.Sprint(reply.HTTPStatusCode(), " ", api.ErrorCode()); got != fmt.Sprint(status, " ", code) {
		t.Errorf("error = %s: %s, want %d %s", got, api.ErrorMessage(), status, code)
	}
	if reply.ServiceRequestID() == "" {
		t.Error("the error has no request id")
	}
	for _, m := range message {
		if api.ErrorMessage() != m {
			t.Errorf("message = %q\nwant %q", api.ErrorMessage(), m)
		}
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
