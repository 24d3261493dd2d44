package ec2fake

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// apiVersion is the only version of the EC2 API that the fake speaks.
const apiVersion = "2016-11-15"

// params reads the parameters of one call. A list is written as name.1,
// name.2, …, a field of a structure as name.field; params is a cursor that
// stands at such a prefix. All cursors of a call share its form.
type params struct {
	form   *form
	prefix string
}

// form holds the parameters of a call, those that were read, and the first
// error met while reading.
type form struct {
	values url.Values
	read   map[string]bool
	err    error
}

func readParams(r *http.Request) (params, error) {
	p := params{form: &form{read: map[string]bool{}}}
	if err := r.ParseForm(); err != nil {
		return p, refuse("MalformedQueryString", "%v", err)
	}
	p.form.values = r.Form
	for name, values := range r.Form {
		if len(values) > 1 {
			return p, refuse("MalformedQueryString", "The parameter %s appears more than once", name)
		}
	}
	if v := p.str("Version"); v != apiVersion {
		return p, refuse("NoSuchVersion", "The requested version (%s) of service ec2 does not exist", v)
	}
	return p, nil
}

// fail keeps the first error of a call.
func (p params) fail(err error) {
	if p.form.err == nil {
		p.form.err = err
	}
}

func (p params) key(name string) string {
	switch {
	case p.prefix == "":
		return name
	case name == "":
		return p.prefix
	default:
		return p.prefix + "." + name
	}
}

// lookup reads a scalar. The empty name is the scalar at the cursor itself.
func (p params) lookup(name string) (string, bool) {
	key := p.key(name)
	p.form.read[key] = true
	return p.form.values.Get(key), p.form.values.Has(key)
}

func (p params) str(name string) string {
	s, _ := p.lookup(name)
	return s
}

// required reads a scalar that must not be empty.
func (p params) required(name string) string {
	s := p.str(name)
	if s == "" {
		p.fail(missing(p.key(name)))
	}
	return s
}

// integer returns nil for a number that is absent.
func (p params) integer(name string) *int {
	s, ok := p.lookup(name)
	if !ok {
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		p.fail(invalid("Value (%s) for parameter %s is invalid. The parameter must be an integer.", s, p.key(name)))
	}
	i := int(n)
	return &i
}

func (p params) boolean(name string) bool {
	s, ok := p.lookup(name)
	if ok && s != "true" && s != "false" {
		p.fail(invalid("Value (%s) for parameter %s is invalid. The parameter must be true or false.", s, p.key(name)))
	}
	return s == "true"
}

// list returns a cursor for each element of a list.
func (p params) list(name string) []params {
	var items []params
	for {
		item := params{p.form, p.key(name) + "." + strconv.Itoa(len(items)+1)}
		if !item.present() {
			return items
		}
		items = append(items, item)
	}
}

func (p params) present() bool {
	for name := range p.form.values {
		if name == p.prefix || strings.HasPrefix(name, p.prefix+".") {
			return true
		}
	}
	return false
}

func (p params) strings(name string) []string {
	var out []string
	for _, item := range p.list(name) {
		out = append(out, item.str(""))
	}
	return out
}

// done returns the first error of the call, if need be that a parameter was
// sent which nobody read.
func (p params) done() error {
	var unknown []string
	for name := range p.form.values {
		if !p.form.read[name] {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		p.fail(refuse("UnknownParameter", "The parameter %s is not recognized", unknown[0]))
	}
	return p.form.err
}

var groupID = regexp.MustCompile(`^sg-[0-9a-f]{8,17}$`)

func checkGroupID(id string) error {
	if !groupID.MatchString(id) {
		return groupMalformed(id)
	}
	return nil
}

// group reads the group that a write is about.
func (p params) group() string {
	id := p.str("GroupId")
	if id == "" {
		p.fail(refuse("MissingParameter", "The request must contain the parameter groupName or groupId"))
	} else if err := checkGroupID(id); err != nil {
		p.fail(err)
	}
	return id
}

var permissionSources = []struct {
	list, field string
	kind        sourceKind
}{
	{"IpRanges", "CidrIp", cidrIPv4},
	{"Ipv6Ranges", "CidrIpv6", cidrIPv6},
	{"PrefixListIds", "PrefixListId", prefixList},
	{"Groups", "GroupId", referencedGroup},
}

// permissions reads IpPermissions as one draft for each source.
func (p params) permissions() []draft {
	var drafts []draft
	for _, permission := range p.list("IpPermissions") {
		drafts = append(drafts, permission.permission()...)
	}
	return drafts
}

func (p params) permission() []draft {
	base := draft{protocol: p.str("IpProtocol"), from: p.integer("FromPort"), to: p.integer("ToPort")}
	var drafts []draft
	for _, s := range permissionSources {
		for _, item := range p.list(s.list) {
			d := base
			d.sources = []draftSource{{s.kind, item.str(s.field)}}
			d.description = item.str("Description")
			drafts = append(drafts, d)
		}
	}
	if len(drafts) == 0 {
		return []draft{base} // no source: refused by its check
	}
	return drafts
}

// ruleRequest reads the SecurityGroupRule of a ModifySecurityGroupRules.
func (p params) ruleRequest() draft {
	d := draft{
		protocol:    p.str("IpProtocol"),
		from:        p.integer("FromPort"),
		to:          p.integer("ToPort"),
		description: p.str("Description"),
	}
	for _, kind := range []sourceKind{cidrIPv4, cidrIPv6, prefixList, referencedGroup} {
		if value, ok := p.lookup(string(kind)); ok {
			d.sources = append(d.sources, draftSource{kind, value})
		}
	}
	return d
}

// write reads what all writes have in common.
func (p params) write() write {
	return write{groupID: p.group(), dryRun: p.boolean("DryRun")}
}
