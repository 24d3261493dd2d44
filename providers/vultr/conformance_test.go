package vultr_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
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
				Faults:   disturb(l.vultr),
				Hasten:   l.SetTimeout,
				Remove:   func() error { l.vultr.DeleteGroup(l.group); return nil },
			}
		},
		Writes: fewestWrites,
		Forms:  append(providertest.MarkedForms, providertest.Plain, providertest.Named),
		Faults: providertest.FaultsOf(answers),
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
	case providertest.Named:
		r.Subnet, r.Source, r.Notes = anyV4, "cloudflare", notes
	default:
		r.Notes = "portsnare:" + string(providertest.MarkOf(form, mark))
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

var answers = map[providertest.Fault]providertest.Answer{
	providertest.Throttled:    {Stage: vultrfake.Before, With: vultrfake.Throttled},
	providertest.ThrottledFor: {Stage: vultrfake.Before, With: vultrfake.ThrottledFor(providertest.RetryAfterSeconds)},
	providertest.ServerError:  {Stage: vultrfake.Before, With: vultrfake.Unavailable},
	providertest.LateError:    {Stage: vultrfake.After, With: vultrfake.InternalError},
	providertest.OddAnswer:    {Stage: vultrfake.After, With: vultrfake.OddAnswer},
}

func disturb(f *vultrfake.Fake) *providertest.Disturbance[vultrfake.Call] {
	return providertest.Disturb(f, answers,
		func(text string) http.Handler { return &vultrfake.Error{Status: http.StatusBadRequest, Message: text} },
		func(c vultrfake.Call) bool {
			return c.Action == vultrfake.CreateRule || c.Action == vultrfake.DeleteRule
		})
}
