package ec2fake

import (
	"encoding/xml"
	"fmt"
	"net/http"
)

// An Error is an EC2 error reply. As an http.Handler it writes itself, so that
// a [Hook] can answer with it.
type Error struct {
	Status  int    // HTTP status
	Code    string // such as InvalidGroup.NotFound
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// ServeHTTP writes the reply as EC2 does.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	var body struct {
		XMLName   xml.Name `xml:"Response"`
		Code      string   `xml:"Errors>Error>Code"`
		Message   string   `xml:"Errors>Error>Message"`
		RequestID string   `xml:"RequestID"`
	}
	body.Code, body.Message = e.Code, e.Message
	body.RequestID = w.Header().Get(requestIDHeader)
	writeXML(w, e.Status, body)
}

// refuse returns an error of the client, HTTP 400.
func refuse(code, format string, args ...any) error {
	return &Error{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// invalid returns the code for a parameter that has a value it cannot have.
func invalid(format string, args ...any) error {
	return refuse("InvalidParameterValue", format, args...)
}

func missing(parameter string) error {
	return refuse("MissingParameter", "The request must contain the parameter %s", parameter)
}

// authFailure is what EC2 answers to a credential that it does not accept,
// HTTP 401.
func authFailure(format string, args ...any) error {
	return &Error{http.StatusUnauthorized, "AuthFailure", fmt.Sprintf(format, args...)}
}

func unauthorized(keyID, action string) error {
	return &Error{http.StatusForbidden, "UnauthorizedOperation", fmt.Sprintf(
		"You are not authorized to perform this operation. User: arn:aws:iam::%s:user/%s is not authorized to perform: ec2:%s because no identity-based policy allows the ec2:%[3]s action",
		accountID, keyID, action)}
}

// errDryRun is the success of a call with DryRun, HTTP 412.
var errDryRun error = &Error{http.StatusPreconditionFailed, "DryRunOperation",
	"Request would have succeeded, but DryRun flag is set."}

func groupNotFound(id string) error {
	return refuse("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
}

func groupMalformed(id string) error {
	return refuse("InvalidGroupId.Malformed", `Invalid id: "%s" (expecting "sg-...")`, id)
}

func ruleNotFound(id string) error {
	return refuse("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", id)
}

func ruleMalformed(id string) error {
	return refuse("InvalidSecurityGroupRuleId.Malformed", `Invalid id: "%s" (expecting "sgr-...")`, id)
}

func duplicate(r Rule) error {
	return refuse("InvalidPermission.Duplicate", `the specified rule "%s" already exists`, r.peer())
}

// errTwice: hashicorp/terraform-provider-aws#2587.
var errTwice = invalid("The same permission must not appear multiple times")

func ruleIDTwice(id string) error {
	return invalid("Duplicated security group rule ID '%s'. The same security group rule ID must not appear multiple times.", id)
}

var errPermissionNotFound = refuse("InvalidPermission.NotFound",
	"The specified rule does not exist in this security group.")

// errRuleLimit: aws-samples/aws-cloudfront-samples#53.
var errRuleLimit = refuse("RulesPerSecurityGroupLimitExceeded",
	"The maximum number of rules per security group has been reached.")

// notApplied is the reply when the change stands and [Fake.OnChange] failed.
func notApplied(err error) error {
	return &Error{http.StatusInternalServerError, "InternalError",
		"An internal error has occurred: " + err.Error()}
}
