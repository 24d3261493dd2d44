package vultr_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/vultr/govultr/v3"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/providertest"
	"github.com/portsnare/portsnare/providers/vultr"
)

// The walk on a firewall group that PORTSNARE_TEST_VULTR names, wherever
// VULTR_API_ENDPOINT is. See package providertest.
func TestConformanceOfAnAccount(t *testing.T) {
	group := os.Getenv("PORTSNARE_TEST_VULTR")
	if group == "" {
		t.Skip("PORTSNARE_TEST_VULTR names no firewall group that may be used up")
	}
	providertest.Run(t, providertest.Provider{
		Mark: mark,
		New: func(t *testing.T, _ int) providertest.Subject {
			t.Helper()
			line := providertest.NewLine(once{http.DefaultTransport})
			f, err := vultr.Open(vultr.Options{GroupID: group, Mark: mark, Transport: line})
			noError(t, err)
			return providertest.Subject{Firewall: f, Human: customer(group), Writes: line.Writes, Faults: listsAreTrue{line}}
		},
		Writes: fewestWrites,
		Forms:  []providertest.Form{providertest.Plain, providertest.Marked},
		Faults: providertest.LineFaults,
	})
}

// listsAreTrue never shows the past: the line would show it of single rules too.
type listsAreTrue struct{ *providertest.Line }

func (listsAreTrue) Freeze(int) {}

// signed sends requests as the account of the environment.
type signed struct{}

func (signed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+os.Getenv("VULTR_API_KEY"))
	return http.DefaultTransport.RoundTrip(r)
}

// person is a human who uses the API, with the retries of govultr.
type person struct {
	rules govultr.FireWallRuleService
	group string
}

func customer(group string) person {
	client := govultr.NewClient(&http.Client{Transport: signed{}})
	if endpoint := os.Getenv("VULTR_API_ENDPOINT"); endpoint != "" {
		_ = client.SetBaseURL(endpoint) // vultr.Open has refused what cannot be
	}
	return person{client.FirewallRule, group}
}

func (p person) Rules() ([]providertest.Standing, error) {
	listed, _, _, err := p.rules.List(context.Background(), p.group, &govultr.ListOptions{PerPage: 500})
	var standing []providertest.Standing
	for _, r := range listed {
		s := providertest.Standing{Raw: fmt.Sprintf("%+v", r)}
		s.ID = strconv.Itoa(r.ID)
		if name, ok := strings.CutPrefix(r.Notes, "portsnare:"); ok {
			s.Mark = portsnare.Mark(name)
		}
		if address, err := netip.ParseAddr(r.Subnet); err == nil {
			s.Opening.Source = netip.PrefixFrom(address, r.SubnetSize)
		}
		if ports, err := portsnare.ParsePortRange(strings.Replace(r.Port, ":", "-", 1) + "/" + r.Protocol); err == nil {
			s.Opening.Range = ports
		}
		standing = append(standing, s)
	}
	return standing, err
}

func (p person) Add(form providertest.Form, o portsnare.Opening) (string, error) {
	if form == providertest.Marked {
		return p.make(o, notes)
	}
	return p.make(o, "ask ops")
}

func (p person) make(o portsnare.Opening, notes string) (string, error) {
	r := fakeRule(o)
	ipType := "v6"
	if o.Source.Addr().Is4() {
		ipType = "v4"
	}
	made, _, err := p.rules.Create(context.Background(), p.group, &govultr.FirewallRuleReq{
		IPType: ipType, Protocol: r.Protocol, Port: r.Port, Notes: notes,
		Subnet: o.Source.Addr().String(), SubnetSize: o.Source.Bits(),
	})
	if err != nil {
		return "", err
	}
	return strconv.Itoa(made.ID), nil
}

func (p person) Edit(id string, o portsnare.Opening) (string, error) {
	number, err := strconv.Atoi(id)
	if err != nil {
		return "", err
	}
	was, _, err := p.rules.Get(context.Background(), p.group, number)
	if err != nil {
		return "", err
	}
	if err := p.Remove(id); err != nil {
		return "", err
	}
	return p.make(o, was.Notes)
}

func (p person) Remove(id string) error {
	number, err := strconv.Atoi(id)
	if err != nil {
		return err
	}
	return p.rules.Delete(context.Background(), p.group, number)
}
