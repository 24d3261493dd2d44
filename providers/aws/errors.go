package aws

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
)

// verdict is what a failure means to the caller and what people can do about
// it. In a hint, {region} and {action} stand for those of the call.
type verdict struct {
	kind portsnare.Kind
	hint string
}

const (
	hintRegion      = "is the security group in {region}? If not, set the provider's `region`"
	hintEndpoint    = "is {region} a region of AWS, such as eu-central-1? Correct the provider's `region`, or AWS_ENDPOINT_URL_EC2 where it is set"
	hintCredentials = "give AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"
	hintKey         = "is the access key right and active, {region} enabled for the account, and the clock of this machine right?"
	hintExpired     = "renew the session: `aws sso login`, or fresh AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
	hintClock       = "set the clock of this machine"
	hintAccount     = "the account itself cannot use EC2 in {region}: look into its console"
	hintPolicy      = "allow {action} in the IAM policy of the credential; docs/aws.md has the least that is needed"
	hintQuota       = "ask AWS to raise the quota L-0EA8095F (rules of a security group), or open fewer traps; a prefix list counts with all the entries it may have"
	hintGroupID     = "set the group's `firewall` to the id of the security group, such as sg-0f3a9c1d2e4b5a687"
	hintProxy       = "if a proxy stands in between, name the file of its certificate authority in AWS_CA_BUNDLE"
)

// codes is what EC2 answers to the calls made here:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
// (checked 2026-11-21). Codes that say "too often" are the SDK's own list,
// those that are not here are judged by their HTTP status.
var codes = map[string]verdict{
	// A rule that is to be made stands already; the one to be removed is gone.
	"InvalidPermission.Duplicate":         {portsnare.Conflict, ""},
	"InvalidPermission.NotFound":          {portsnare.Conflict, ""},
	"InvalidSecurityGroupRuleId.NotFound": {portsnare.Conflict, ""},
	"InvalidSecurityGroupRuleID.NotFound": {portsnare.Conflict, ""},
	"ConcurrentTagAccess":                 {portsnare.Conflict, ""},
	"InvalidGroup.NotFound":               {portsnare.NotFound, hintRegion},
	"InvalidSecurityGroupID.NotFound":     {portsnare.NotFound, hintRegion},
	"InvalidGroupId.Malformed":            {portsnare.Invalid, hintGroupID},
	"RulesPerSecurityGroupLimitExceeded":  {portsnare.LimitExceeded, hintQuota},
	"TagLimitExceeded":                    {portsnare.LimitExceeded, ""},
	"UnauthorizedOperation":               {portsnare.Denied, hintPolicy},
	"AccessDenied":                        {portsnare.Denied, hintPolicy},
	"AccessDeniedException":               {portsnare.Denied, hintPolicy},
	"AuthFailure":                         {portsnare.Denied, hintKey},
	"InvalidClientTokenId":                {portsnare.Denied, hintKey},
	"SignatureDoesNotMatch":               {portsnare.Denied, hintKey},
	"UnrecognizedClientException":         {portsnare.Denied, hintKey},
	"IncompleteSignature":                 {portsnare.Denied, hintKey},
	"MissingAuthenticationToken":          {portsnare.Denied, hintCredentials},
	"ExpiredToken":                        {portsnare.Denied, hintExpired},
	"ExpiredTokenException":               {portsnare.Denied, hintExpired},
	"RequestExpired":                      {portsnare.Denied, hintClock},
	"Blocked":                             {portsnare.Denied, hintAccount},
	"OptInRequired":                       {portsnare.Denied, hintAccount},
	"PendingVerification":                 {portsnare.Denied, hintAccount},
	"RequestTimeout":                      {portsnare.Transient, ""},
}

// phrases are the operations in words that a group's id can follow.
var phrases = map[string]string{
	"DescribeNetworkInterfaces":     "see what bears",
	"DescribeSecurityGroups":        "find",
	"DescribeSecurityGroupRules":    "read the rules of",
	"AuthorizeSecurityGroupIngress": "open ports in",
	"ModifySecurityGroupRules":      "swap ports in",
	"RevokeSecurityGroupIngress":    "close ports in",
}

// explain turns an error of the SDK into one of ours. ctx is the caller's.
func (f *Firewall) explain(ctx context.Context, err error) error {
	var operation string
	var failed *smithy.OperationError
	if errors.As(err, &failed) {
		operation = failed.Operation()
	}
	op := "aws: " + phrases[operation]
	if ctx.Err() != nil {
		return failure.New(portsnare.Transient, op, f.groupID, context.Cause(ctx), "")
	}
	v := judge(err)
	return failure.New(v.kind, op, f.groupID, f.tell(err), strings.NewReplacer(
		"{region}", f.client.Options().Region,
		"{action}", actions(operation),
	).Replace(v.hint))
}

// actions names what an IAM policy must allow for an operation.
func actions(operation string) string {
	if operation == "AuthorizeSecurityGroupIngress" {
		return "ec2:AuthorizeSecurityGroupIngress, and ec2:CreateTags on new rules,"
	}
	return "ec2:" + operation
}

func judge(err error) verdict {
	var (
		api   smithy.APIError
		none  *credentialsError
		dns   *net.DNSError
		cert  *tls.CertificateVerificationError
		isAPI = errors.As(err, &api)
	)
	switch {
	case isAPI && throttles.IsErrorThrottle(err) == sdk.TrueTernary:
		return verdict{portsnare.RateLimited, ""}
	case statusOf(err) >= http.StatusInternalServerError:
		return verdict{portsnare.Transient, ""}
	case errors.As(err, &none):
		return verdict{portsnare.Denied, hintCredentials}
	case isAPI:
		return judgeCode(api.ErrorCode(), statusOf(err))
	case errors.As(err, &dns) && dns.IsNotFound:
		return verdict{portsnare.NotFound, hintEndpoint}
	case errors.As(err, &cert):
		return verdict{portsnare.Invalid, hintProxy}
	case passing(err):
		return verdict{portsnare.Transient, ""}
	}
	return verdict{portsnare.Invalid, hintEndpoint} // nothing was sent: the region is no DNS label
}

var throttles = retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}

func judgeCode(code string, status int) verdict {
	if v, ok := codes[code]; ok {
		return v
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return verdict{portsnare.Denied, ""}
	}
	return verdict{portsnare.Invalid, ""}
}

// passing reports whether no answer came, or half of one.
func passing(err error) bool {
	var unsent *smithyhttp.RequestSendError
	var garbled *smithy.DeserializationError
	return errors.As(err, &unsent) || errors.As(err, &garbled) || errors.Is(err, context.DeadlineExceeded)
}

// statusOf returns the HTTP status of the answer, or 0.
func statusOf(err error) int {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) {
		return 0
	}
	return answer.HTTPStatusCode()
}

// tell leaves out what the SDK repeats (service, operation, status, request)
// and the blob that AWS appends to a refusal.
func (f *Firewall) tell(err error) error {
	var (
		api    smithy.APIError
		none   *credentialsError
		unsent *smithyhttp.RequestSendError
		failed *smithy.OperationError
	)
	switch status := statusOf(err); {
	case errors.As(err, &none):
		return failure.Own("no usable credentials: "+none.err.Error(), err)
	case errors.As(err, &api):
		message, _, _ := strings.Cut(api.ErrorMessage(), " Encoded authorization failure message:")
		return failure.Say(strings.TrimRight(cmp.Or(message, http.StatusText(status)), ". "), err).Add(" (%s)", api.ErrorCode())
	case errors.Is(err, context.DeadlineExceeded):
		return failure.Own(fmt.Sprintf("no answer within %s", f.timeout), err)
	case status != 0:
		return failure.Own(fmt.Sprintf("the answer is no reply of EC2 (HTTP status %d)", status), err)
	case errors.As(err, &unsent):
		return failure.Say(unsent.Err.Error(), err)
	case errors.As(err, &failed):
		return failure.Say(failed.Err.Error(), err)
	}
	return failure.Say(err.Error(), err)
}

// credentials makes it plain by type that a call failed for want of them.
type credentials struct{ sdk.CredentialsProvider }

func (c credentials) Retrieve(ctx context.Context) (sdk.Credentials, error) {
	found, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		err = &credentialsError{err}
	}
	return found, err
}

type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

func invalid(op, subject string, err error, hint string) error {
	return failure.New(portsnare.Invalid, "aws: "+op, subject, err, hint)
}
