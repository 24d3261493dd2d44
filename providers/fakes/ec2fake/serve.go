package ec2fake

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Intercepted is the Code of a [Call] that was answered by the handler of a
// hook which is no [Error].
const Intercepted = "Intercepted"

// A Call is one request, as the fake saw it.
type Call struct {
	Seq         int       // 1, 2, … in order of arrival
	Time        time.Time // of arrival
	AccessKeyID string    // that signed it, "" if none
	Region      string    // that it was signed for
	Action      string
	GroupID     string // that it is about: GroupId, GroupId.1 or the first value of a group-id filter
	DryRun      bool

	// The outcome, which a Hook sees only After.
	Code      string // of the error, "" if there was none
	Committed bool   // a group was changed
}

// An operation is a call that was read without error.
type operation func(*store) (response, error)

var actions = map[string]func(params) operation{
	"AuthorizeSecurityGroupIngress": parseAuthorize,
	"DescribeNetworkInterfaces":     parseDescribeInterfaces,
	"DescribeSecurityGroupRules":    parseDescribeRules,
	"DescribeSecurityGroups":        parseDescribeGroups,
	"ModifySecurityGroupRules":      parseModify,
	"RevokeSecurityGroupIngress":    parseRevoke,
}

// ServeHTTP answers one request.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call, carryOut := f.admit(r)
	w.Header().Set(requestIDHeader, fmt.Sprintf("00000000-0000-4000-8000-%012x", call.Seq))
	if h := f.Ask(r.Context(), Before, call); h != nil {
		call.Code = codeOf(h)
		f.Log(call)
		h.ServeHTTP(w, r)
		return
	}
	h, committed := carryOut()
	call.Code, call.Committed = codeOf(h), committed
	f.Log(call)
	if instead := f.Ask(r.Context(), After, call); instead != nil {
		h = instead
	}
	h.ServeHTTP(w, r)
}

func codeOf(h http.Handler) string {
	switch h := h.(type) {
	case response:
		return ""
	case *Error:
		return h.Code
	default:
		return Intercepted
	}
}

// admit reads a request. What it returns beside the call carries it out and
// returns the answer, and whether a group was changed.
func (f *Fake) admit(r *http.Request) (Call, func() (http.Handler, bool)) {
	call := Call{Seq: f.Number(), Time: f.now()}
	c, err := readCredential(r.Header.Get("Authorization"))
	call.AccessKeyID, call.Region = c.keyID, c.region
	p, paramsErr := readParams(r)
	call.read(p)
	run, err := f.authorized(call, p, errors.Join(err, paramsErr))
	return call, func() (http.Handler, bool) {
		var reply response
		if err == nil {
			reply, err = run()
		}
		if e, ok := errors.AsType[*Error](err); ok {
			return e, reply.committed
		}
		reply.XMLName = xml.Name{Space: namespace, Local: call.Action + "Response"}
		return reply, reply.committed
	}
}

// authorized goes from a request that has been read to the operation that it
// asks for, unless err or a check forbids it.
func (f *Fake) authorized(call Call, p params, err error) (func() (response, error), error) {
	if err != nil {
		return nil, err
	}
	s, err := f.authenticate(credential{call.AccessKeyID, call.Region})
	if err != nil {
		return nil, err
	}
	parse, ok := actions[p.str("Action")]
	switch {
	case call.Action == "":
		return nil, refuse("MissingAction", "The request must contain the parameter Action")
	case !ok:
		return nil, refuse("InvalidAction", "The action %s is not valid for this web service.", call.Action)
	case !f.allow(call.AccessKeyID, call.Action):
		return nil, unauthorized(call.AccessKeyID, call.Action)
	case p.form.values.Has("TagSpecification.1.ResourceType") && !f.allow(call.AccessKeyID, "CreateTags"):
		return nil, unauthorized(call.AccessKeyID, "CreateTags")
	}
	op := parse(p)
	return func() (response, error) { return op(s) }, p.done()
}

// read fills in what a log says of a request, leaving all parameters unread.
func (c *Call) read(p params) {
	get := p.form.values.Get
	c.Action, c.DryRun = get("Action"), get("DryRun") == "true"
	c.GroupID = cmp.Or(get("GroupId"), get("GroupId.1"))
	for _, item := range p.list("Filter") {
		if c.GroupID == "" && get(item.key("Name")) == "group-id" {
			c.GroupID = get(item.key("Value.1"))
		}
	}
}
