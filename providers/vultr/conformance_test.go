package vultr_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/fakes/vultrfake"
	"github.com/portsnare/portsnare/providers/providertest"
)

func TestConformance(t *testing.T) {
	for name, o := range map[string]vultrfake.Options{
		"numbers grow":       {},
		"numbers are reused": {ReuseNumbers: true, LongIPv6: true},
		"as documented":      {EmptySource: true},
	} {
		t.Run(name, func(t *testing.T) { providertest.Run(t, provider(o)) })
	}
}

func provider(o vultrfake.Options) providertest.Provider {
	return providertest.Provider{
		Mark: mark,
		New: func(t *testing.T, room int) providertest.Subject {
			t.Helper()
			o.Rate, o.MaxRules = -1, room
			l := newLab(t, o)
			return providertest.Subject{
				Firewall: l.Firewall,
				Human:    console{l.vultr, l.group},
				Writes:   func() int { return l.writes(0) },
				Faults:   newFaults(l.vultr),
				Remove:   func() error { l.vultr.DeleteGroup(l.group); return nil },
			}
		},
		Writes: fewestWrites,
		Forms:  []providertest.Form{providertest.Plain, providertest.Marked, providertest.Named},
		Faults: slices.Sorted(maps.Keys(answers)),
	}
}

// fewestWrites: one for each rule to be made and each to be removed, each family
// for itself.
func fewestWrites(_ []portsnare.Rule, plan portsnare.Plan) int {
	return len(plan.Open) + len(plan.Close)
}

// console is a human at the console of the fake.
type console struct {
	vultr *vultrfake.Fake
	group string
}

func (c console) Rules() ([]providertest.Standing, error) {
	var standing []providertest.Standing
	for _, r := range c.vultr.Rules(c.group) {
		s := providertest.Standing{Raw: fmt.Sprintf("%+v", r)}
		s.ID = strconv.Itoa(r.Number)
		ports, err := portsnare.ParsePortRange(strings.Replace(r.Port, ":", "-", 1) + "/" + r.Protocol)
		if err != nil {
			return nil, err
		}
		if s.Opening.Range = ports; r.Source == "" {
			s.Opening.Source = r.Subnet
			name, _ := strings.CutPrefix(r.Notes, "portsnare:")
			if name != r.Notes {
				s.Mark = portsnare.Mark(name)
			}
		}
		standing = append(standing, s)
	}
	return standing, nil
}

func (c console) Add(form providertest.Form, o portsnare.Opening) (string, error) {
	r := fakeRule(o)
	switch form {
	case providertest.Plain:
		r.Notes = "ask ops"
	case providertest.Marked:
		r.Notes = notes
	case providertest.Named:
		r.Subnet, r.Source, r.Notes = anyV4, "cloudflare", notes
	default:
		return "", fmt.Errorf("Vultr has no rule that is %s", form)
	}
	made, err := c.vultr.AddRule(c.group, r)
	return strconv.Itoa(made.Number), err
}

// Edit removes a rule and makes another, as Vultr's console does.
func (c console) Edit(id string, o portsnare.Opening) (string, error) {
	rules := c.vultr.Rules(c.group)
	i := slices.IndexFunc(rules, func(r vultrfake.Rule) bool { return strconv.Itoa(r.Number) == id })
	if err := c.Remove(id); err != nil {
		return "", err
	}
	r := fakeRule(o)
	r.Notes = rules[i].Notes
	made, err := c.vultr.AddRule(c.group, r)
	return strconv.Itoa(made.Number), err
}

func (c console) Remove(id string) error {
	number, err := strconv.Atoi(id)
	if err != nil {
		return err
	}
	return c.vultr.RemoveRule(c.group, number)
}

func fakeRule(o portsnare.Opening) vultrfake.Rule {
	port := strconv.Itoa(int(o.Range.From))
	if o.Range.From < o.Range.To {
		port += ":" + strconv.Itoa(int(o.Range.To))
	}
	return vultrfake.Rule{Protocol: o.Range.Protocol.String(), Port: port, Subnet: o.Source}
}

// answer is what Vultr does in a fault, and when.
type answer struct {
	stage vultrfake.Stage
	with  http.Handler
}

var answers = map[providertest.Fault]answer{
	providertest.LostRequest:  {vultrfake.Before, vultrfake.Drop},
	providertest.LostReply:    {vultrfake.After, vultrfake.Drop},
	providertest.Throttled:    {vultrfake.Before, vultrfake.Throttled},
	providertest.ThrottledFor: {vultrfake.Before, vultrfake.ThrottledFor(providertest.RetryAfterSeconds)},
	providertest.ServerError:  {vultrfake.Before, vultrfake.Unavailable},
	providertest.LateError:    {vultrfake.After, vultrfake.InternalError},
	providertest.BadGateway:   {vultrfake.Before, vultrfake.BadGateway},
	providertest.LateGateway:  {vultrfake.After, vultrfake.BadGateway},
	providertest.OddAnswer:    {vultrfake.After, vultrfake.OddAnswer},
	providertest.Hang:         {vultrfake.Before, silence},
}

// silence neither answers nor does anything. A server sees that the client has
// gone away only after it has read the whole request.
var silence http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	vultrfake.Drop.ServeHTTP(w, r)
})

// troubles makes the fake's calls fail.
type troubles struct {
	vultr *vultrfake.Fake

	mu   sync.Mutex
	list providertest.Troubles
	late map[int]http.Handler // answers to give after the call, by its number
}

func newFaults(f *vultrfake.Fake) *troubles {
	t := &troubles{vultr: f, late: map[int]http.Handler{}}
	f.Intercept(t.strike)
	return t
}

func (t *troubles) Inject(trouble providertest.Trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list.Inject(trouble)
}

func (t *troubles) Freeze(lists int) { t.vultr.Freeze(lists) }

func (t *troubles) Clear() {
	t.vultr.Thaw()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = nil
}

func (t *troubles) strike(_ context.Context, stage vultrfake.Stage, call vultrfake.Call) http.Handler {
	t.mu.Lock()
	defer t.mu.Unlock()
	if stage == vultrfake.After {
		return t.late[call.Seq]
	}
	sort := providertest.Read
	if call.Action == vultrfake.CreateRule || call.Action == vultrfake.DeleteRule {
		sort = providertest.Write
	}
	a := answers[t.list.Strike(sort)]
	if a.stage == vultrfake.After {
		t.late[call.Seq] = a.with
		return nil
	}
	return a.with
}
