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
			c := &counted{Firewall: none.New(mark)}
			return providertest.Subject{Firewall: c, Human: nobody{c.Firewall}, Writes: func() int { return c.writes }}
		},
		Writes: func(_ []portsnare.Rule, plan portsnare.Plan) int { return min(1, len(plan.Open)+len(plan.Close)) },
		Forms:  []providertest.Form{providertest.Marked},
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

func (n nobody) Add(_ providertest.Form, o portsnare.Opening) (string, error) { return n.Put(o), nil }

func (n nobody) Edit(id string, o portsnare.Opening) (string, error) {
	if err := n.Remove(id); err != nil {
		return "", err
	}
	return n.Put(o), nil
}

func (n nobody) Remove(id string) error {
	rules, err := n.Firewall.Rules(context.Background())
	for _, r := range rules {
		if r.ID == id {
			_, err = n.Apply(context.Background(), portsnare.Plan{Close: []portsnare.Rule{r}})
			return err
		}
	}
	return fmt.Errorf("no rule %s: %w", id, err)
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
