package openstack

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
)

// action is one sort of call: in words that a group's id can follow, and by
// the rule of Neutron's policy that it needs
// (https://docs.openstack.org/neutron/latest/configuration/policy.html, checked
// 2026-11-21).
type action struct{ phrase, policy string }

var (
	loggingIn = action{"log in to reach", ""}
	reading   = action{"read the rules of", "get_security_group"}
	asking    = action{"ask for the quota of", "get_quota"}
	counting  = action{"count the rules of the project of", "get_security_group_rule"}
	opening   = action{"open ports in", "create_security_group_rule"}
	closing   = action{"close ports in", "delete_security_group_rule"}
)

// verdict is what a failure means to the caller and what people can do about
// it. In a hint, {policy} stands for that of the call.
type verdict struct {
	kind portsnare.Kind
	hint string
}

const (
	hintEnvironment = "set OS_CLOUD to a cloud in clouds.yaml, or load an openrc file: OS_AUTH_URL, and OS_APPLICATION_CREDENTIAL_ID and _SECRET or OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME and the domains of both"
	hintCredential  = "is the credential right, and not expired? `openstack token issue` tells"
	hintPolicy      = "give the user, or the application credential, the role member on the project of the group; Neutron's policy rule is {policy}"
	hintGroup       = "is the security group in the project and the region of the credential? `openstack security group list` shows those that are"
	hintQuota       = "ask for a higher quota of security group rules for the project (`openstack quota show`), or open fewer traps; every rule of the project counts, outbound ones too"
	hintRegion      = "set OS_REGION_NAME, or the provider's `region`, to a region that `openstack catalog show network` names"
	hintAddress     = "is OS_AUTH_URL, or auth_url in clouds.yaml, the address of the cloud's identity service?"
	hintAuthority   = "name the file of the cloud's certificate authority in OS_CACERT, or cacert in clouds.yaml"
)

// statuses says what an answer means, save one of Neutron's that names its quota.
var statuses = map[int]verdict{
	http.StatusUnauthorized:    {portsnare.Denied, hintCredential},
	http.StatusForbidden:       {portsnare.Denied, hintPolicy},
	http.StatusNotFound:        {portsnare.NotFound, hintGroup},
	http.StatusRequestTimeout:  {portsnare.Transient, ""},
	http.StatusConflict:        {portsnare.Conflict, ""},
	http.StatusTooManyRequests: {portsnare.RateLimited, ""},
}

// errOddAnswer is for a success that cannot be one of Neutron's.
var errOddAnswer = errors.New("the answer is no reply of OpenStack")

// explain turns an error of the SDK into one of ours. ctx is the caller's.
func (f *Firewall) explain(ctx context.Context, what action, err error) error {
	var before *loginError
	var again *gophercloud.ErrUnableToReauthenticate
	switch {
	case errors.As(err, &before):
		what = loggingIn
	case errors.As(err, &again):
		what, err = loggingIn, again.ErrReauth
	}
	op := "openstack: " + what.phrase
	if ctx.Err() != nil {
		return failure.New(portsnare.Transient, op, f.groupID, context.Cause(ctx), "")
	}
	v := judge(err, what)
	e := failure.New(v.kind, op, f.groupID, f.tell(err), strings.ReplaceAll(v.hint, "{policy}", what.policy))
	e.RetryAfter = retryAfter(err)
	return e
}

func judge(err error, what action) verdict {
	var (
		answer   gophercloud.ErrUnexpectedResponseCode
		dns      *net.DNSError
		cert     *tls.CertificateVerificationError
		endpoint *gophercloud.ErrEndpointNotFound
	)
	switch {
	case errors.As(err, &answer):
		return judgeAnswer(answer, what)
	case errors.As(err, &endpoint):
		return verdict{portsnare.NotFound, hintRegion}
	case errors.As(err, &dns) && dns.IsNotFound:
		return verdict{portsnare.NotFound, hintAddress}
	case errors.As(err, &cert):
		return verdict{portsnare.Invalid, hintAuthority}
	case passing(err):
		return verdict{portsnare.Transient, ""}
	}
	return verdict{portsnare.Invalid, hintEnvironment} // nothing was sent: the credential is not whole
}

func judgeAnswer(answer gophercloud.ErrUnexpectedResponseCode, what action) verdict {
	v, known := statuses[answer.Actual]
	switch {
	case complaintOf(answer).Type == "OverQuota": // a 409 too
		return verdict{portsnare.LimitExceeded, hintQuota}
	case what == loggingIn && answer.Actual == http.StatusForbidden:
		return verdict{portsnare.Denied, hintCredential}
	case what == loggingIn && answer.Actual == http.StatusNotFound:
		return verdict{portsnare.NotFound, hintAddress}
	case known:
		return v
	case answer.Actual/100 == 4:
		return verdict{portsnare.Invalid, ""}
	}
	return verdict{portsnare.Transient, ""} // 5xx, and what Neutron does not answer
}

// passing reports whether no answer came, or half of one, or one of somebody
// else.
func passing(err error) bool {
	var unsent *url.Error
	var syntax *json.SyntaxError
	var shape *json.UnmarshalTypeError
	return errors.As(err, &unsent) || errors.As(err, &syntax) || errors.As(err, &shape) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, errOddAnswer) || errors.Is(err, context.DeadlineExceeded)
}

// complaint is what OpenStack says beside an HTTP status.
type complaint struct{ Type, Message string }

// complaintOf reads the forms of Neutron and of Keystone.
func complaintOf(answer gophercloud.ErrUnexpectedResponseCode) complaint {
	var body struct {
		NeutronError complaint
		Error        struct{ Title, Message string }
	}
	if json.Unmarshal(answer.Body, &body) != nil {
		return complaint{}
	}
	if body.NeutronError.Message == "" {
		return complaint{body.Error.Title, body.Error.Message}
	}
	return body.NeutronError
}

// retryAfter reads the header in both of its forms. A date is compared with
// that of the answer, so that the clock of this machine does not matter.
func retryAfter(err error) time.Duration {
	var answer gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &answer) {
		return 0
	}
	text := answer.ResponseHeader.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(max(seconds, 0)) * time.Second
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	sent, err := http.ParseTime(answer.ResponseHeader.Get("Date"))
	if err != nil {
		return 0
	}
	return max(until.Sub(sent), 0)
}

// tell leaves out what the SDK repeats: method, address, the statuses expected.
func (f *Firewall) tell(err error) error {
	var answer gophercloud.ErrUnexpectedResponseCode
	var unsent *url.Error
	switch {
	case errors.As(err, &answer):
		said := complaintOf(answer)
		if said.Message == "" {
			return failure.Own(fmt.Sprintf("%s (HTTP status %d)", errOddAnswer, answer.Actual), err)
		}
		return failure.Say(strings.TrimRight(said.Message, ". "), err).Add(" (%s)", cmp.Or(said.Type, http.StatusText(answer.Actual)))
	case errors.Is(err, context.DeadlineExceeded):
		return failure.Own(fmt.Sprintf("no answer within %s", f.timeout), err)
	case errors.As(err, &unsent):
		return failure.Say(unsent.Error(), err)
	case passing(err):
		return failure.Own(errOddAnswer.Error(), err)
	}
	return failure.Say(strings.TrimRight(err.Error(), ". "), err)
}

func invalid(op, subject string, err error, hint string) error {
	return failure.New(portsnare.Invalid, "openstack: "+op, subject, err, hint)
}
