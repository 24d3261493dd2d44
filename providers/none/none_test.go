package none_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/none"
	"github.com/portsnare/portsnare/providers/providertest"
)

const mark = portsnare.Mark("tokyo/web")

func TestConformance(t *testing.T) {
	providertest.Run(t, providertest.Provider{
		Mark: mark,
		New: func(*testing.T, int) providertest.Subject {
			c := &counted{Firewall: none.New(mark, providertest.MarkOf(providertest.Former, mark))}
			return providertest.Subject{Firewall: c, Human: nobody{c.Firewall}, Writes: func() int { return c.writes }}
		},
		Writes: func(_ []portsnare.Rule, plan portsnare.Plan) int { return min(1, len(plan.Open)+len(plan.Close)) },
		Forms:  providertest.MarkedForms,
	})
}

// counted counts what Apply tells: nothing goes over any wire.
type counted struct {
	*none.Firewall
	writes int
}

func (c *counted) Apply(ctx context.Context, plan portsnare.Plan) (portsnare.Done, error) {
	done, err := c.Firewall.Apply(ctx, plan)
	c.writes += done.Writes
	return done, err
}

// nobody changes the memory behind the walk's back, as only a fault in the
// program could.
type nobody struct{ *none.Firewall }

func (n nobody) Rules() ([]providertest.Standing, error) {
	rules, err := n.Firewall.Rules(context.Background())
	var standing []providertest.Standing
	for _, r := range rules {
		standing = append(standing, providertest.Standing{Rule: r, Raw: fmt.Sprint(r)})
	}
	return standing, err
}

func (n nobody) Add(form providertest.Form, o portsnare.Opening) (string, error) {
	return n.Put(o, providertest.MarkOf(form, mark)), nil
}

func (n nobody) Edit(id string, o portsnare.Opening) (string, error) {
	r, err := n.find(id)
	if err != nil {
		return "", err
	}
	n.Forget(id)
	return n.Put(o, r.Mark), nil
}

func (n nobody) Remove(id string) error {
	_, err := n.find(id)
	n.Forget(id)
	return err
}

func (n nobody) find(id string) (portsnare.Rule, error) {
	rules, err := n.Firewall.Rules(context.Background())
	for _, r := range rules {
		if r.ID == id {
			return r, err
		}
	}
	return portsnare.Rule{}, fmt.Errorf("no rule %s: %w", id, err)
}

// Every port of both protocols, one by one and for both families, fits.
func TestLimitsAreNone(t *testing.T) {
	limits, err := none.New(mark).Limits(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := limits.Budget(nil, portsnare.AnySource()...), 2*65535; got != want {
		t.Errorf("budget %d, want %d", got, want)
	}
}

// Nothing is called, so hosts may disarm at once.
func TestNothingIsOnItsWay(t *testing.T) {
	if got := none.New(mark).CallTimeout(); got != 0 {
		t.Errorf("a call lives for %s, want 0", got)
	}
}
