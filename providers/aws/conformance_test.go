package aws_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
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
		Forms:  []providertest.Form{providertest.Plain, providertest.Marked, providertest.Named},
		Faults: slices.Sorted(maps.Keys(answers)),
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
		Faults:   newFaults(l.ec2),
		Remove:   func() error { l.ec2.DeleteGroup(l.group); return nil },
	}
}

// fewestWrites: one Modify for as many as are opened and closed of a family,
// one Authorize for what is opened beyond, one Revoke for what is closed
// beyond.
func fewestWrites(_ []portsnare.Rule, plan portsnare.Plan) int {
	opens, closes := map[bool]int{}, map[bool]int{} // by whether it is IPv4
	for _, o := range plan.Open {
		opens[o.Source.Addr().Is4()]++
	}
	for _, r := range plan.Close {
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
	return modify + authorize + revoke
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
	case providertest.Marked:
		r.Tags = map[string]string{"portsnare": string(mark)}
	case providertest.Named:
		r.CIDR, r.PrefixListID = portsnare.Source{}, "pl-0123456789abcdef0"
	default:
		return "", fmt.Errorf("EC2 has no rule that is %s", form)
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

// answer is what EC2 does in a fault, and when.
type answer struct {
	stage ec2fake.Stage
	with  http.Handler
}

// EC2 never says when to come again.
var answers = map[providertest.Fault]answer{
	providertest.LostRequest: {ec2fake.Before, ec2fake.Drop},
	providertest.LostReply:   {ec2fake.After, ec2fake.Drop},
	providertest.Throttled:   {ec2fake.Before, ec2fake.Throttled},
	providertest.ServerError: {ec2fake.Before, ec2fake.Unavailable},
	providertest.LateError:   {ec2fake.After, ec2fake.InternalError},
	providertest.BadGateway:  {ec2fake.Before, ec2fake.BadGateway},
	providertest.LateGateway: {ec2fake.After, ec2fake.BadGateway},
	providertest.Hang: {ec2fake.Before, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})},
}

// troubles makes the fake's calls fail.
type troubles struct {
	ec2 *ec2fake.Fake

	mu   sync.Mutex
	list []*providertest.Trouble
}

func newFaults(f *ec2fake.Fake) *troubles {
	t := &troubles{ec2: f}
	f.Intercept(t.strike)
	return t
}

func (t *troubles) Inject(trouble providertest.Trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, &trouble)
}

func (t *troubles) Freeze(lists int) { t.ec2.Freeze(lists) }

func (t *troubles) Clear() {
	t.ec2.Thaw()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = nil
}

func (t *troubles) strike(_ context.Context, stage ec2fake.Stage, call ec2fake.Call) http.Handler {
	t.mu.Lock()
	defer t.mu.Unlock()
	sort := providertest.Write
	switch call.Action {
	case "DescribeSecurityGroups", "DescribeSecurityGroupRules":
		sort = providertest.Read
	}
	for _, trouble := range t.list {
		a := answers[trouble.Fault]
		switch {
		case trouble.Call != sort || a.stage != stage || trouble.Times == 0:
		case trouble.Skip > 0:
			trouble.Skip--
		default:
			trouble.Times--
			return a.with
		}
	}
	return nil
}
