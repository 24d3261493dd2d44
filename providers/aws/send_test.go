package aws_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/portsnare/portsnare/providers/aws"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

// slowSender answers at once and keeps the request, as a transport does whose
// writer is late.
type slowSender struct{ request *http.Request }

func (s *slowSender) Do(r *http.Request) (*http.Response, error) {
	s.request = r
	const reply = `<DescribeSecurityGroupRulesResponse><securityGroupRuleSet><item>` +
		`<securityGroupRuleId>sgr-1</securityGroupRuleId><isEgress>true</isEgress></item></securityGroupRuleSet></DescribeSecurityGroupRulesResponse>`
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(reply))}, nil
}

// TestBodyOutlivesTheCall: the SDK closes a request's body as soon as the answer
// begins. A transport that still reads it then closes the connection, and the
// rest of the answer is lost ("use of closed network connection").
func TestBodyOutlivesTheCall(t *testing.T) {
	sender := &slowSender{}
	client := ec2.New(ec2.Options{
		Region: ec2fake.DefaultRegion, HTTPClient: sender,
		Credentials: credentials.NewStaticCredentialsProvider(ec2fake.DefaultAccessKeyID, "secret", ""),
	})
	if _, err := aws.New(client, "sg-00000000000000001", "web").Rules(t.Context()); err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(sender.request.Body)
	if err != nil || !strings.Contains(string(body), "Action=DescribeSecurityGroupRules") {
		t.Errorf("the body is gone: %q, %v", body, err)
	}
}
