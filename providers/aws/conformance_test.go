package aws_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/ec2fake"
	"github.com/portsnare/portsnare/providers/providertest"
)

func TestConformance(t *testing.T) {
	providertest.Run(t, providertest.Provider{
		Mark:   mark,
		New:    newSubject,
		Writes: fewestWrites,
		Forms:  append(providertest.MarkedForms, providertest.Plain, providertest.Named),
		Faults: providertest.FaultsOf(answers),
	})
}

func newSubject(t *testing.T, room int) providertest.Subject {
	t.Helper()
	l := newLab(t, ec2fake.Options{RuleLimit: room})
	firewall := l.Firewall
	if room > 0 {
		firewall = firewall.WithQuota(room)
	}
	return providertest.Subject{
		Firewall: firewall,
		Human:    console{l.ec2, l.group},
		Writes:   func() int { return len(l.writes(0)) },
		Faults:   disturb(l.ec2),
		Hasten:   firewall.SetTimeout,
		Remove:   func() error { l.ec2.DeleteGroup(l.group); return nil },
	}
}

// fewestWrites: one Modify for as many as are opened and closed of a family,
// one Authorize for what is opened beyond, one Revoke for what is closed
// beyond, and one Revoke for what bears a former mark.
func fewestWrites(_ []portsnare.Rule, plan portsnare.Plan) int {
	opens, closes := map[bool]int{}, map[bool]int{} // by whether it is IPv4
	for _, o := range plan.Open {
		opens[o.Source.Addr().Is4()]++
	}
	var former int
	for _, r := range plan.Close {
		if r.Mark != mark {
			former = 1
			continue
		}
		closes[r.Opening.Source.Addr().Is4()]++
	}
	var modify, authorize, revoke int
	for _, is4 := range []bool{true, false} {
		switch {
		case opens[is4] > closes[is4]:
			authorize = 1
		case opens[is4] < closes[is4]:
			revoke = 1
		}
		if min(opens[is4], closes[is4]) > 0 {
			modify = 1
		}
	}
	return former + modify + authorize + revoke
}

// console is a human at the console of the fake.
type console struct {
	ec2   *ec2fake.Fake
	group string
}

func (c console) Rules() ([]providertest.Standing, error) {
	var standing []providertest.Standing
	for _, r := range c.ec2.Rules(c.group) {
		s := providertest.Standing{Raw: fmt.Sprintf("%+v", r)}
		s.ID, s.Mark = r.ID, portsnare.Mark(r.Tags["portsnare"])
		protocol, err := portsnare.ParseProtocol(r.Protocol)
		if err != nil {
			return nil, err
		}
		s.Opening = portsnare.Opening{
			Range:  portsnare.PortRange{Protocol: protocol, From: uint16(r.FromPort), To: uint16(r.ToPort)},
			Source: r.CIDR,
		}
		standing = append(standing, s)
	}
	return standing, nil
}

func (c console) Add(form providertest.Form, o portsnare.Opening) (string, error) {
	r := fakeRule(o)
	switch form {
	case providertest.Plain:
		r.Description, r.Tags = "ask ops", map[string]string{"owner": "ops", "Name": "web"}
	case providertest.Named:
		r.CIDR, r.PrefixListID = portsnare.Source{}, "pl-0123456789abcdef0"
	default:
		r.Tags = map[string]string{"portsnare": string(providertest.MarkOf(form, mark))}
	}
	return c.ec2.AddRule(c.group, r)
}

func (c console) Edit(id string, o portsnare.Opening) (string, error) {
	r := fakeRule(o)
	r.ID = id
	rules := c.ec2.Rules(c.group)
	i := slices.IndexFunc(rules, func(r ec2fake.Rule) bool { return r.ID == id })
	if i >= 0 && rules[i].CIDR.Addr().Is4() == o.Source.Addr().Is4() {
		return id, c.ec2.EditRule(c.group, r)
	}
	if err := c.Remove(id); err != nil { // the type of a source cannot change
		return "", err
	}
	r.Tags = rules[i].Tags
	return c.ec2.AddRule(c.group, r)
}

func (c console) Remove(id string) error { return c.ec2.RemoveRule(c.group, id) }

func fakeRule(o portsnare.Opening) ec2fake.Rule {
	return ec2fake.Rule{Protocol: o.Range.Protocol.String(), FromPort: int(o.Range.From), ToPort: int(o.Range.To), CIDR: o.Source}
}

// answers of EC2, which never says when to come again.
var answers = map[providertest.Fault]providertest.Answer{
	providertest.Throttled:   {Stage: ec2fake.Before, With: ec2fake.Throttled},
	providertest.ServerError: {Stage: ec2fake.Before, With: ec2fake.Unavailable},
	providertest.LateError:   {Stage: ec2fake.After, With: ec2fake.InternalError},
}

func disturb(f *ec2fake.Fake) *providertest.Disturbance[ec2fake.Call] {
	return providertest.Disturb(f, answers,
		func(text string) http.Handler {
			return refusal(http.StatusBadRequest, "InvalidPermission.Duplicate", text)
		},
		func(c ec2fake.Call) bool { return !strings.HasPrefix(c.Action, "Describe") })
}
