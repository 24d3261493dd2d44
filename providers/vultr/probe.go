package vultr

import (
	"context"
	"errors"
	"net/http"
	"net/netip"

	"github.com/vultr/govultr/v3"

	"github.com/portsnare/portsnare"
)

// absentID is a group that does not exist: a write to it is refused to a user
// who may not manage firewalls, and can change nothing otherwise.
const absentID = "00000000-0000-0000-0000-000000000000"

// Authenticate asks whether Vultr knows the API key, whatever its user may do.
func (f *Firewall) Authenticate(ctx context.Context) error {
	_, err := f.group(ctx)
	if statusOf(err) == http.StatusForbidden || errors.Is(err, portsnare.NotFound) && statusOf(err) != 0 {
		return nil
	}
	return err
}

// Permissions asks by calls that change nothing whether the user of the key may
// manage firewalls, and returns [portsnare.Denied] where not.
func (f *Firewall) Permissions(ctx context.Context) error {
	_, err := f.group(ctx)
	if statusOf(err) != http.StatusForbidden {
		err = f.tryOpen(ctx)
	}
	switch {
	case statusOf(err) == http.StatusForbidden:
		return &portsnare.Error{Kind: portsnare.Denied, Op: "vultr: use", Subject: f.groupID,
			Err: errors.New("the user of the API key may not manage firewalls"), Hint: hintRight}
	case portsnare.Retryable(err) || errors.Is(err, portsnare.Denied):
		return err
	}
	return nil
}

func (f *Firewall) tryOpen(ctx context.Context) error {
	trial := portsnare.Opening{
		Range:  portsnare.PortRange{Protocol: portsnare.TCP, From: 1, To: 1},
		Source: netip.MustParsePrefix("192.0.2.1/32"),
	}
	_, err := call(ctx, f, create, func(ctx context.Context) (*govultr.FirewallRule, error) {
		made, _, err := f.client.FirewallRule.Create(ctx, absentID, fromOpening(trial, f.mark))
		return made, err
	})
	return err
}

// Around reports whether an instance belongs to the group. It belongs to no
// other, so nothing admits anything beside.
func (f *Firewall) Around(ctx context.Context) (attached bool, beside []portsnare.Rule, err error) {
	g, err := f.group(ctx)
	if err != nil {
		return false, nil, err
	}
	return g.InstanceCount > 0, nil, nil
}
