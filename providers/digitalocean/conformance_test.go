package digitalocean_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/digitalocean"
	"github.com/portsnare/portsnare/providers/fakes/dofake"
	"github.com/portsnare/portsnare/providers/providertest"
)

func TestConformance(t *testing.T) {
	t.Run("rules", func(t *testing.T) { conform(t, false, fewestWrites) })
	t.Run("replace", func(t *testing.T) {
		conform(t, true, func([]portsnare.Rule, portsnare.Plan) int { return 1 })
	})
}

func conform(t *testing.T, replace bool, writes func([]portsnare.Rule, portsnare.Plan) int) {
	providertest.Run(t, providertest.Provider{
		Mark: mark,
		New: func(t *testing.T, room int) providertest.Subject {
			return newSubject(t, room, replace)
		},
		Writes: writes,
		// What admits ports to addresses in a firewall of ours is ours.
		Forms:  []providertest.Form{providertest.Marked, providertest.Deny, providertest.Named},
		Faults: providertest.FaultsOf(answers),
	})
}

func newSubject(t *testing.T, room int, replace bool) providertest.Subject {
	outbound := 0
	if room > 0 {
		outbound = 50 - room
	}
	l := newLab(t, dofake.Options{Pending: 1}, outbound)
	l.options.Replace = replace
	firewall := l.open(l.options)
	return providertest.Subject{
		Firewall: firewall,
		Human:    console{l.do, l.id},
		Writes:   func() int { return len(l.writes(0)) },
		Faults:   disturb(l.do),
		Rename:   func(mark portsnare.Mark) error { return l.do.Rename(l.id, digitalocean.Name(mark)) },
		Hasten:   firewall.SetTimeout,
		Remove:   func() error { l.do.RemoveFirewall(l.id); return nil },
	}
}

// fewestWrites: one call if some port range needs a rule that does not stand,
// one if some rule has to go.
// A port range is one rule with all its sources.
func fewestWrites(have []portsnare.Rule, plan portsnare.Plan) int {
	return fewestWritesOf(mark, have, plan)
}

func fewestWritesOf(mark portsnare.Mark, have []portsnare.Rule, plan portsnare.Plan) int {
	before := map[portsnare.PortRange]map[string][]string{} // the sources of each rule
	after := map[portsnare.PortRange][]string{}
	for _, r := range have {
		if r.Mark != mark || slices.ContainsFunc(plan.Held, func(h portsnare.Rule) bool { return h.ID == r.ID }) {
			continue
		}
		ports, source := r.Opening.Range, r.Opening.Source.String()
		if before[ports] == nil {
			before[ports] = map[string][]string{}
		}
		before[ports][r.ID] = append(before[ports][r.ID], source)
		if !slices.Contains(plan.Close, r) {
			after[ports] = append(after[ports], source)
		}
	}
	touched := map[portsnare.PortRange]bool{}
	for _, r := range plan.Close {
		touched[r.Opening.Range] = true
	}
	for _, o := range plan.Open {
		touched[o.Range] = true
		after[o.Range] = append(after[o.Range], o.Source.String())
	}
	var add, remove int
	for ports := range touched {
		want := slices.Compact(slices.Sorted(slices.Values(after[ports])))
		stays := 0
		for _, sources := range before[ports] {
			if slices.Equal(slices.Sorted(slices.Values(sources)), want) {
				stays = 1
			}
		}
		if len(want) > 0 && stays == 0 {
			add = 1
		}
		remove = max(remove, len(before[ports])-stays) // alike ports are not in one call
	}
	return add + remove
}

// console is a human at the console of the fake.
type console struct {
	do *dofake.Fake
	id string
}

func (c console) Rules() ([]providertest.Standing, error) {
	var standing []providertest.Standing
	for _, r := range c.do.Firewall(c.id).Inbound {
		told, err := tell(r)
		if err != nil {
			return nil, err
		}
		standing = append(standing, told...)
	}
	return standing, nil
}

// tell says what a rule admits: one Standing for each address.
func tell(r dofake.Rule) ([]providertest.Standing, error) {
	protocol, err := portsnare.ParseProtocol(r.Protocol)
	if err != nil {
		return nil, err
	}
	ports := portsnare.PortRange{Protocol: protocol, From: 1, To: 65535}
	if r.Ports != "0" {
		if ports, err = portsnare.ParsePortRange(r.Ports + "/" + r.Protocol); err != nil {
			return nil, err
		}
	}
	s := providertest.Standing{Raw: r.String()}
	s.ID, s.Opening.Range, s.Deny = idOf(r), ports, r.Action == "deny"
	if r.Sources.Tags != nil {
		return []providertest.Standing{s}, nil
	}
	if !s.Deny {
		s.Mark = mark
	}
	var all []providertest.Standing
	for _, a := range r.Sources.Addresses {
		s.Opening.Source = netip.MustParsePrefix(a)
		all = append(all, s)
	}
	return all, nil
}

func idOf(r dofake.Rule) string {
	words := slices.Concat([]string{r.Protocol, r.Ports, "from"}, r.Sources.Addresses)
	for _, tag := range r.Sources.Tags {
		words = append(words, "tag:"+tag)
	}
	if r.Action == "deny" {
		words = append([]string{"deny"}, words...)
	}
	return strings.Join(words, " ")
}

func (c console) find(id string) (dofake.Rule, error) {
	for _, r := range c.do.Firewall(c.id).Inbound {
		if idOf(r) == id {
			return r, nil
		}
	}
	return dofake.Rule{}, fmt.Errorf("no rule is %s", id)
}

func (c console) Add(form providertest.Form, o portsnare.Opening) (string, error) {
	r := fakeRule(o)
	switch form {
	case providertest.Marked:
	case providertest.Deny:
		r.Action = "deny"
	case providertest.Named:
		r.Sources = &dofake.Target{Tags: []string{"blue"}}
	default:
		return "", fmt.Errorf("a firewall of ours has no rule that is %s", form)
	}
	return idOf(r), c.do.AddRule(c.id, r)
}

func (c console) Edit(id string, o portsnare.Opening) (string, error) {
	old, err := c.find(id)
	if err != nil {
		return "", err
	}
	r := fakeRule(o)
	return idOf(r), c.do.EditRule(c.id, old, r)
}

func (c console) Remove(id string) error {
	r, err := c.find(id)
	if err != nil {
		return err
	}
	return c.do.RemoveRule(c.id, r)
}

func fakeRule(o portsnare.Opening) dofake.Rule {
	ports, _, _ := strings.Cut(o.Range.String(), "/")
	if o.Range.Len() == 65535 {
		ports = "0"
	}
	return dofake.Rule{
		Protocol: o.Range.Protocol.String(), Ports: ports, Action: "allow",
		Sources: &dofake.Target{Addresses: []string{o.Source.String()}},
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

var answers = map[providertest.Fault]providertest.Answer{
	providertest.Throttled:    {Stage: dofake.Before, With: dofake.TooManyRequests(0)},
	providertest.ThrottledFor: {Stage: dofake.Before, With: dofake.TooManyRequests(providertest.RetryAfterSeconds * time.Second)},
	providertest.ServerError:  {Stage: dofake.Before, With: dofake.ServerError},
	providertest.LateError:    {Stage: dofake.After, With: dofake.ServerError},
}

func disturb(f *dofake.Fake) *providertest.Disturbance[dofake.Call] {
	return providertest.Disturb(f, answers,
		func(text string) http.Handler {
			return &dofake.Error{Status: http.StatusUnprocessableEntity, ID: "unprocessable_entity", Message: text}
		}, dofake.Call.Writes)
}
