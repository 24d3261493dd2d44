package ec2fake_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
)

func signedBy(keyID string) func(*ec2.Options) {
	return func(o *ec2.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(keyID, "secret", "token")
	}
}

func in(region string) func(*ec2.Options) {
	return func(o *ec2.Options) { o.Region = region }
}

func anonymous(o *ec2.Options) { o.Credentials = aws.AnonymousCredentials{} }

func TestWhoMayCall(t *testing.T) {
	const reader = "AKIAREADER"
	l := newLab(t, ec2fake.Options{
		EmptyRegions: []string{"eu-central-1"},
		AccessKeyIDs: []string{ec2fake.DefaultAccessKeyID, reader},
		Allow: func(keyID, action string) bool {
			return keyID != reader || strings.HasPrefix(action, "Describe")
		},
	})
	tests := []struct {
		name    string
		option  func(*ec2.Options)
		status  int
		code    string
		message string
	}{
		{"an unknown key", signedBy("AKIASTRANGER"), 401, "AuthFailure",
			"AWS was not able to validate the provided access credentials"},
		{"no credential", anonymous, 403, "MissingAuthenticationToken", "Request is missing Authentication Token"},
		{"a region without the group", in("eu-central-1"), 400, "InvalidGroup.NotFound",
			"The security group 'sg-00000000000000001' does not exist"},
		{"a region of nobody's", in("us-esat-1"), 401, "AuthFailure",
			"Credential should be scoped to a valid region, not 'us-esat-1'."},
		{"a key that may only read", signedBy(reader), 403, "UnauthorizedOperation",
			"You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/AKIAREADER is not authorized to perform: ec2:AuthorizeSecurityGroupIngress because no identity-based policy allows the ec2:AuthorizeSecurityGroupIngress action"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l.client = l.sdk(tt.option)
			_, err := l.authorize(tcp(80, everyone))
			wantError(t, err, tt.status, tt.code, tt.message)
			l.wantPorts()
		})
	}
}

func TestWhatAReaderSees(t *testing.T) {
	l := newLab(t, ec2fake.Options{
		EmptyRegions: []string{"eu-central-1"},
		Allow:        func(_, action string) bool { return strings.HasPrefix(action, "Describe") },
	})
	for region, want := range map[string]int{"us-east-1": 1, "eu-central-1": 0} {
		out, err := l.sdk(in(region)).DescribeSecurityGroupRules(context.Background(), &ec2.DescribeSecurityGroupRulesInput{
			Filters: []types.Filter{where("group-id", l.group)},
		})
		noError(t, err)
		if got := len(out.SecurityGroupRules); got != want {
			t.Errorf("%d rules in %s, want %d", got, region, want)
		}
	}
}

// post sends a request that no SDK would.
func (l *lab) post(authorization, body string) (status int, text string) {
	l.t.Helper()
	r, err := http.NewRequest(http.MethodPost, l.url, strings.NewReader(body))
	noError(l.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", authorization)
	reply, err := http.DefaultClient.Do(r)
	noError(l.t, err)
	defer reply.Body.Close()
	b, err := io.ReadAll(reply.Body)
	noError(l.t, err)
	return reply.StatusCode, string(b)
}

const goodAuthorization = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261121/us-east-1/ec2/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"

func TestAuthorizationHeader(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	tests := []struct {
		name, old, new string
		status         int
		code           string
	}{
		{"as it should be", "", "", 200, ""},
		{"another algorithm", "AWS4-HMAC-SHA256", "AWS", 400, "<Code>IncompleteSignature</Code>"},
		{"no signature", "Signature=00", "Signature=", 400, "<Code>IncompleteSignature</Code>"},
		{"no headers", "SignedHeaders=host;x-amz-date, ", "", 400, "<Code>IncompleteSignature</Code>"},
		{"a slash too many", "AKIAIOSFODNN7EXAMPLE/", "AKIAIOSFODNN7EXAMPLE//", 401, "<Code>AuthFailure</Code>"},
		{"another service", "/ec2/", "/s3/", 401, "<Code>AuthFailure</Code>"},
		{"another term", "aws4_request", "aws5_request", 401, "<Code>AuthFailure</Code>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := strings.Replace(goodAuthorization, tt.old, tt.new, 1)
			status, text := l.post(header, "Action=DescribeSecurityGroups&Version=2016-11-15")
			if status != tt.status || !strings.Contains(text, tt.code) {
				t.Errorf("%d %s\nwant %d %s", status, text, tt.status, tt.code)
			}
		})
	}
}

func TestStrayParameters(t *testing.T) {
	l := newLab(t, ec2fake.Options{})
	authorize := url.Values{
		"Action": {"AuthorizeSecurityGroupIngress"}, "Version": {"2016-11-15"}, "GroupId": {l.group},
		"IpPermissions.1.IpProtocol": {"tcp"}, "IpPermissions.1.FromPort": {"80"}, "IpPermissions.1.ToPort": {"80"},
		"IpPermissions.1.IpRanges.1.CidrIp": {everyone},
	}
	tests := []struct {
		name, key     string
		values        []string
		code, message string
	}{
		{"no action", "Action", nil, "MissingAction", "The request must contain the parameter Action"},
		{"unknown action", "Action", []string{"CreateSecurityGroup"}, "InvalidAction",
			"The action CreateSecurityGroup is not valid for this web service."},
		{"no version", "Version", nil, "NoSuchVersion", "The requested version () of service ec2 does not exist"},
		{"old version", "Version", []string{"2014-10-01"}, "NoSuchVersion",
			"The requested version (2014-10-01) of service ec2 does not exist"},
		{"old form of a rule", "CidrIp", []string{everyone}, "UnknownParameter", "The parameter CidrIp is not recognized"},
		{"misspelt field", "IpPermissions.1.IpRanges.1.Descripton", []string{"x"}, "UnknownParameter",
			"The parameter IpPermissions.1.IpRanges.1.Descripton is not recognized"},
		{"gap in a list", "IpPermissions.3.IpProtocol", []string{"tcp"}, "UnknownParameter",
			"The parameter IpPermissions.3.IpProtocol is not recognized"},
		{"parameter of another call", "SecurityGroupRuleId.1", []string{"sgr-1"}, "UnknownParameter",
			"The parameter SecurityGroupRuleId.1 is not recognized"},
		{"twice", "GroupId", []string{l.group, l.group}, "MalformedQueryString", "The parameter GroupId appears more than once"},
		{"no number", "IpPermissions.1.FromPort", []string{"http"}, "InvalidParameterValue",
			"Value (http) for parameter IpPermissions.1.FromPort is invalid. The parameter must be an integer."},
		{"no boolean", "DryRun", []string{"yes"}, "InvalidParameterValue",
			"Value (yes) for parameter DryRun is invalid. The parameter must be true or false."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			form := maps.Clone(authorize)
			form[tt.key] = tt.values
			status, text := l.post(goodAuthorization, form.Encode())
			want := "<Code>" + tt.code + "</Code><Message>" + tt.message + "</Message>"
			if status != 400 || !strings.Contains(text, want) {
				t.Errorf("%d %s\nwant 400 %s", status, text, want)
			}
			l.wantPorts()
		})
	}
	if status, text := l.post(goodAuthorization, "a=%zz"); status != 400 || !strings.Contains(text, "<Code>MalformedQueryString</Code>") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := l.post(goodAuthorization, authorize.Encode()); status != 200 {
		t.Errorf("%d %s", status, text)
	}
}

func TestDryRun(t *testing.T) {
	l := newLab(t, ec2fake.Options{
		AccessKeyIDs: []string{ec2fake.DefaultAccessKeyID, "AKIANOBODY"},
		Allow:        func(keyID, _ string) bool { return keyID != "AKIANOBODY" },
	})
	id := l.add(consoleRule(80))
	ctx, yes := context.Background(), aws.Bool(true)
	writes := map[string]func(c *ec2.Client, group string) error{
		"authorize": func(c *ec2.Client, group string) error {
			_, err := c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
				GroupId: &group, DryRun: yes, IpPermissions: []types.IpPermission{tcp(443, everyone)}})
			return err
		},
		"revoke": func(c *ec2.Client, group string) error {
			_, err := c.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{
				GroupId: &group, DryRun: yes, SecurityGroupRuleIds: []string{id}})
			return err
		},
		"modify": func(c *ec2.Client, group string) error {
			_, err := c.ModifySecurityGroupRules(ctx, &ec2.ModifySecurityGroupRulesInput{
				GroupId: &group, DryRun: yes, SecurityGroupRules: []types.SecurityGroupRuleUpdate{move(id, 443)}})
			return err
		},
	}
	for name, call := range writes {
		t.Run(name, func(t *testing.T) {
			wantError(t, call(l.client, l.group), 412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
			wantError(t, call(l.client, "sg-00000000"), 400, "InvalidGroup.NotFound")
			wantError(t, call(l.sdk(signedBy("AKIANOBODY")), l.group), 403, "UnauthorizedOperation")
			l.wantPorts(80)
		})
	}
	_, err := l.client.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{DryRun: yes})
	wantError(t, err, 412, "DryRunOperation")
	_, err = l.client.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{DryRun: yes})
	wantError(t, err, 412, "DryRunOperation")
}
