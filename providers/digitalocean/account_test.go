package digitalocean_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"testing"

	"github.com/digitalocean/godo"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/digitalocean"
	"github.com/portsnare/portsnare/providers/fakes/dofake"
	"github.com/portsnare/portsnare/providers/providertest"
)

// The walk in a firewall that PORTSNARE_TEST_DIGITALOCEAN names, wherever
// DIGITALOCEAN_API_URL is. See package providertest.
func TestConformanceOfAnAccount(t *testing.T) {
	id := os.Getenv("PORTSNARE_TEST_DIGITALOCEAN")
	if id == "" {
		t.Skip("PORTSNARE_TEST_DIGITALOCEAN names no firewall that may be used up")
	}
	walkAccount(t, id, "walk", digitalocean.Options{})
}

// What walks an account is itself tried on the fake.
func TestConformanceOfAnAccountOnTheFake(t *testing.T) {
	l := newLabUnjudged(t, dofake.Options{})
	t.Setenv("PORTSNARE_WALK", "30")
	environment(t, map[string]string{"DIGITALOCEAN_TOKEN": dofake.DefaultToken, "DIGITALOCEAN_API_URL": l.url})
	walkAccount(t, l.id, mark, digitalocean.Options{Pace: l.options.Pace})
}

func walkAccount(t *testing.T, id string, mark portsnare.Mark, o digitalocean.Options) {
	human := customer(t, id, mark)
	providertest.Run(t, providertest.Provider{
		Mark: mark,
		New: func(t *testing.T, _ int) providertest.Subject {
			line := providertest.NewLine(http.DefaultTransport)
			o.FirewallID, o.Mark, o.Transport = id, mark, line
			f, err := digitalocean.Open(o)
			noError(t, err)
			return providertest.Subject{Firewall: f, Human: human, Writes: line.Writes, Faults: line}
		},
		Writes: func(have []portsnare.Rule, plan portsnare.Plan) int { return fewestWritesOf(mark, have, plan) },
		Forms:  []providertest.Form{providertest.Marked, providertest.Deny},
		Faults: providertest.LineFaults,
	})
}

// person is a human who uses the API, with the retries of godo.
type person struct {
	firewalls godo.FirewallsService
	id        string
	mark      portsnare.Mark
}

func customer(t *testing.T, id string, mark portsnare.Mark) person {
	client := godo.NewFromToken(os.Getenv("DIGITALOCEAN_TOKEN"))
	if text := os.Getenv("DIGITALOCEAN_API_URL"); text != "" {
		endpoint, err := url.Parse(text)
		noError(t, err)
		client.BaseURL = endpoint
	}
	return person{client.Firewalls, id, mark}
}

// list returns the rules in the fake's words, which are the API's.
func (p person) list() ([]dofake.Rule, error) {
	fw, _, err := p.firewalls.Get(context.Background(), p.id)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(fw.InboundRules)
	if err != nil {
		return nil, err
	}
	var rules []dofake.Rule
	err = json.Unmarshal(text, &rules)
	return rules, err
}

func (p person) Rules() ([]providertest.Standing, error) {
	rules, err := p.list()
	if err != nil {
		return nil, err
	}
	var standing []providertest.Standing
	for _, r := range rules {
		told, err := tell(r)
		if err != nil {
			return nil, err
		}
		for i := range told {
			if told[i].Mark != "" {
				told[i].Mark = p.mark
			}
		}
		standing = append(standing, told...)
	}
	return standing, nil
}

// request is one rule in the SDK's words.
func request(r dofake.Rule) *godo.FirewallRulesRequest {
	return &godo.FirewallRulesRequest{OutboundRules: []godo.OutboundRule{}, InboundRules: []godo.InboundRule{{
		Protocol: r.Protocol, PortRange: r.Ports, Action: godo.FirewallRuleAction(r.Action), Sources: &godo.Sources{Addresses: r.Sources.Addresses},
	}}}
}

func (p person) Add(form providertest.Form, o portsnare.Opening) (string, error) {
	r := fakeRule(o)
	if form == providertest.Deny {
		r.Action = "deny"
	}
	_, err := p.firewalls.AddRules(context.Background(), p.id, request(r))
	return idOf(r), err
}

func (p person) Edit(id string, o portsnare.Opening) (string, error) {
	if err := p.Remove(id); err != nil {
		return "", err
	}
	return p.Add(providertest.Marked, o)
}

func (p person) Remove(id string) error {
	rules, err := p.list()
	if err != nil {
		return err
	}
	for _, r := range rules {
		if idOf(r) == id {
			_, err := p.firewalls.RemoveRules(context.Background(), p.id, request(r))
			return err
		}
	}
	return errors.New("no rule is " + id)
}
