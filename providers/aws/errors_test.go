package aws_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

func refusal(status int, code, message string) *ec2fake.Error {
	return &ec2fake.Error{Status: status, Code: code, Message: message}
}

func TestErrorsOfEC2(t *testing.T) {
	tests := []struct {
		answer http.Handler
		kind   portsnare.Kind
		text   string // behind "aws: open ports in sg-…: "
		hint   string
	}{
		{refusal(400, "InvalidPermission.Duplicate", `the specified rule "peer: ::/0, TCP, from port: 5, to port: 5, ALLOW" already exists`), portsnare.Conflict,
			`the specified rule "peer: ::/0, TCP, from port: <port>, to port: <port>, ALLOW" already exists (InvalidPermission.Duplicate)`, ""},
		{refusal(400, "InvalidSecurityGroupRuleId.NotFound", "The security group rule ID 'sgr-1' does not exist"), portsnare.Conflict,
			"The security group rule ID 'sgr-1' does not exist (InvalidSecurityGroupRuleId.NotFound)", ""},
		{refusal(400, "InvalidPermission.NotFound", "The specified rule does not exist in this security group."), portsnare.Conflict,
			"The specified rule does not exist in this security group (InvalidPermission.NotFound)", ""},
		{refusal(400, "InvalidGroup.NotFound", "gone"), portsnare.NotFound, "gone (InvalidGroup.NotFound)",
			"is the security group in us-east-1? If not, set the provider's `region`"},
		{refusal(400, "InvalidGroupId.Malformed", "bad"), portsnare.Invalid, "bad (InvalidGroupId.Malformed)",
			"set the group's `firewall` to the id of the security group, such as sg-0f3a9c1d2e4b5a687"},
		{refusal(403, "UnauthorizedOperation", "You are not authorized. Encoded authorization failure message: AAAA"), portsnare.Denied,
			"You are not authorized (UnauthorizedOperation)",
			"allow ec2:AuthorizeSecurityGroupIngress, and ec2:CreateTags on new rules, in the IAM policy of the credential; docs/aws.md has the least that is needed"},
		{refusal(401, "AuthFailure", "not validated"), portsnare.Denied, "not validated (AuthFailure)",
			"is the access key right and active, us-east-1 enabled for the account, and the clock of this machine right?"},
		{refusal(400, "RequestExpired", "old"), portsnare.Denied, "old (RequestExpired)", "set the clock of this machine"},
		{refusal(400, "ExpiredToken", "old"), portsnare.Denied, "old (ExpiredToken)",
			"renew the session: `aws sso login`, or fresh AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"},
		{refusal(403, "SomethingNew", "no"), portsnare.Denied, "no (SomethingNew)", ""},
		{refusal(400, "InvalidParameterValue", "bad"), portsnare.Invalid, "bad (InvalidParameterValue)", ""},
		{ec2fake.Throttled, portsnare.RateLimited, "Request limit exceeded (RequestLimitExceeded)", ""},
		{refusal(400, "Throttling", "slower"), portsnare.RateLimited, "slower (Throttling)", ""},
		{ec2fake.InternalError, portsnare.Transient, "An internal error has occurred (InternalError)", ""},
		{ec2fake.Unavailable, portsnare.Transient, "The server is overloaded and can't handle the request (Unavailable)", ""},
		{ec2fake.BadGateway, portsnare.Transient, "the answer is no reply of EC2 (HTTP status 502)", ""},
		{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }), portsnare.Transient,
			"the answer is no reply of EC2 (HTTP status 200)", ""},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			l := newLab(t, ec2fake.Options{})
			l.ec2.Intercept(ec2fake.First(9, ec2fake.Before, "", tt.answer))
			done, err := l.Apply(context.Background(), portsnare.Plan{Open: v4(t, "5/tcp")})
			wantError(t, err, tt.kind, "aws: open ports in "+l.group+": "+tt.text, tt.hint)
			if hint := portsnare.HintOf(err); tt.hint == "" && hint != "" {
				t.Errorf("hint %q, want none", hint)
			}
			wantDone(t, done, portsnare.Plan{}, 0)
			if got := len(l.ec2.Calls()); got != 1 {
				t.Errorf("%d calls, want 1: retrying is the caller's", got)
			}
			var sdkError *smithy.OperationError
			if !errors.As(err, &sdkError) {
				t.Error("the error does not unwrap to that of the SDK")
			}
		})
	}
}

func TestErrorsNameTheOperation(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	l.reach(v4(t, "5/tcp", "6/tcp"))
	rules, err := l.Rules(context.Background())
	noError(t, err)
	ours, _ := portsnare.Ours(rules, mark)
	tests := []struct {
		op, action string
		plan       portsnare.Plan
	}{
		{"open ports in", authorize, portsnare.Plan{Open: v4(t, "7/tcp")}},
		{"swap ports in", modify, portsnare.Plan{Open: v4(t, "7/tcp"), Close: ours[:1]}},
		{"close ports in", revoke, portsnare.Plan{Close: ours[1:]}},
	}
	for _, tt := range tests {
		l.ec2.Intercept(ec2fake.First(1, ec2fake.Before, tt.action, refusal(403, "UnauthorizedOperation", "No.")))
		_, err := l.Apply(context.Background(), tt.plan)
		wantError(t, err, portsnare.Denied, "aws: "+tt.op+" "+l.group+": No (UnauthorizedOperation)", "")
		if hint := portsnare.HintOf(err); !strings.Contains(hint, "ec2:"+tt.action) {
			t.Errorf("hint %q does not name ec2:%s", hint, tt.action)
		}
	}
	l.ec2.Intercept(ec2fake.First(1, ec2fake.Before, "", refusal(403, "UnauthorizedOperation", "No.")))
	_, err = l.Rules(context.Background())
	wantError(t, err, portsnare.Denied, "aws: read the rules of "+l.group+": No (UnauthorizedOperation)",
		"allow ec2:DescribeSecurityGroupRules in the IAM policy of the credential; docs/aws.md has the least that is needed")
}

func TestErrorsOfAWrongKeyOrRegion(t *testing.T) {
	l := newLab(t, ec2fake.Options{AccessKeyIDs: []string{"AKIAOTHER"}})
	_, err := l.Rules(context.Background())
	wantError(t, err, portsnare.Denied,
		"aws: read the rules of "+l.group+": AWS was not able to validate the provided access credentials (AuthFailure)", "")

	l = newLab(t, ec2fake.Options{})
	_, err = l.firewall("eu-west-1").Rules(context.Background())
	wantError(t, err, portsnare.Denied, "",
		"is the access key right and active, eu-west-1 enabled for the account, and the clock of this machine right?")
}

// transport fails every request in the same way.
type transport struct{ err error }

func (t transport) Do(r *http.Request) (*http.Response, error) {
	return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: t.err}
}

func TestErrorsOfTheNetwork(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	tests := []struct {
		name string
		err  error
		kind portsnare.Kind
		hint string
	}{
		{"no such region", dial(&net.DNSError{Err: "no such host", Name: "ec2.us-nowhere-1.amazonaws.com", IsNotFound: true}), portsnare.NotFound,
			"is us-nowhere-1 a region of AWS, such as eu-central-1? Correct the provider's `region`, or AWS_ENDPOINT_URL_EC2 where it is set"},
		{"no name server", dial(&net.DNSError{Err: "server misbehaving", IsTemporary: true}), portsnare.Transient, ""},
		{"refused", dial(errors.New("connection refused")), portsnare.Transient, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := l.firewall("us-nowhere-1", func(o *ec2.Options) { o.HTTPClient = transport{tt.err} })
			_, err := f.Rules(context.Background())
			wantError(t, err, tt.kind, `aws: read the rules of `+l.group+`: Post "`+l.url+`/": `+tt.err.Error(), tt.hint)
		})
	}
}

func TestErrorOfAnUnknownAuthority(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	server := httptest.NewUnstartedServer(l.ec2)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	f := l.firewall("us-east-1", func(o *ec2.Options) { o.BaseEndpoint = sdk.String(server.URL) })
	_, err := f.Rules(context.Background())
	wantError(t, err, portsnare.Invalid, "",
		"if a proxy stands in between, name the file of its certificate authority in AWS_CA_BUNDLE")
}

func TestErrorOfAMalformedRegion(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	f := l.firewall("us east 1", func(o *ec2.Options) { o.BaseEndpoint = nil })
	_, err := f.Rules(context.Background())
	wantError(t, err, portsnare.Invalid, "",
		"is us east 1 a region of AWS, such as eu-central-1? Correct the provider's `region`, or AWS_ENDPOINT_URL_EC2 where it is set")
}

// silent neither answers nor does anything.
func silent(ctx context.Context, _ ec2fake.Stage, _ ec2fake.Call) http.Handler {
	<-ctx.Done()
	return ec2fake.Drop
}

func TestTimeout(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	l.ec2.Intercept(silent)
	l.SetTimeout(50 * time.Millisecond)
	_, err := l.Rules(context.Background())
	wantError(t, err, portsnare.Transient, "aws: read the rules of "+l.group+": no answer within 50ms", "")
}

func TestCancel(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	l.ec2.Intercept(func(ctx context.Context, stage ec2fake.Stage, call ec2fake.Call) http.Handler {
		cancel()
		return silent(ctx, stage, call)
	})
	_, err := l.Apply(ctx, portsnare.Plan{Open: v4(t, "5/tcp")})
	wantError(t, err, portsnare.Transient, "aws: open ports in "+l.group+": context canceled", "")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v is not context.Canceled", err)
	}
	l.wantOurs(nil)
}
