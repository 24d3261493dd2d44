package digitalocean

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/digitalocean/godo"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
)

const (
	hintSeeing = "give the token the scopes droplet:read and tag:read to have it checked, at https://cloud.digitalocean.com/account/api/tokens"

	// absentID is a firewall that does not exist: a write to it is refused to a
	// token without the scope, and can change nothing otherwise.
	absentID = "00000000-0000-0000-0000-000000000000"
)

// Authenticate asks whether DigitalOcean knows the token, whatever it may do.
func (f *Firewall) Authenticate(ctx context.Context) error {
	err := f.tryRead(ctx)
	if statusOf(err) == http.StatusForbidden || errors.Is(err, portsnare.NotFound) && statusOf(err) != 0 {
		return nil
	}
	return err
}

// Permissions asks by calls that change nothing whether the token has every
// scope that is needed, and returns [portsnare.Denied] with those that it has
// not.
func (f *Firewall) Permissions(ctx context.Context) error {
	trials := map[string]func(context.Context) error{Scopes[0]: f.tryRead, Scopes[1]: f.tryUpdate}
	scopes := Scopes
	if f.replace {
		scopes = append(scopes[:2:2], ReplaceScopes...)
		trials[ReplaceScopes[0]], trials[ReplaceScopes[1]] = f.seeDroplets, f.seeTags
	}
	var lacking []string
	for _, scope := range scopes {
		switch err := trials[scope](ctx); {
		case statusOf(err) == http.StatusForbidden:
			lacking = append(lacking, scope)
		case portsnare.Retryable(err) || errors.Is(err, portsnare.Denied):
			return err
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return f.failure(op{phrase: "use"}, portsnare.Denied,
		failure.Ownf("the token lacks %s", strings.Join(lacking, ", ")), fmt.Sprintf(hintScopes, strings.Join(lacking, ", ")))
}

func (f *Firewall) tryRead(ctx context.Context) error {
	return f.call(ctx, opRead, func(ctx context.Context) error {
		_, _, err := f.client.Firewalls.Get(ctx, f.id)
		return err
	})
}

func (f *Firewall) tryUpdate(ctx context.Context) error {
	ports := portsnare.PortRange{Protocol: portsnare.TCP, From: 1, To: 1}
	rule := fromOpenings(ports, []portsnare.Source{netip.MustParsePrefix("192.0.2.1/32")})
	return f.call(ctx, opAdd, func(ctx context.Context) error {
		_, err := f.client.Firewalls.AddRules(ctx, absentID, rulesRequest([]godo.InboundRule{rule}))
		return err
	})
}

func (f *Firewall) seeTags(ctx context.Context) error {
	return f.call(ctx, opTags, func(ctx context.Context) error {
		_, _, err := f.client.Tags.List(ctx, &godo.ListOptions{PerPage: 1})
		return err
	})
}

func (f *Firewall) seeDroplets(ctx context.Context) error {
	return f.call(ctx, opDroplets, func(ctx context.Context) error {
		_, _, err := f.client.Droplets.List(ctx, &godo.ListOptions{PerPage: 1})
		return err
	})
}

// statusOf returns the HTTP status that an error of ours stems from, or 0.
func statusOf(err error) int {
	if answer, ok := errors.AsType[*godo.ErrorResponse](err); ok {
		return answer.Response.StatusCode
	}
	return 0
}

// Around reports whether some Droplet has the firewall, and returns what the
// other firewalls of one such Droplet admit that hold no traps. It needs [ReplaceScopes].
func (f *Firewall) Around(ctx context.Context) (attached bool, beside []portsnare.Rule, err error) {
	droplet, err := f.aDroplet(ctx)
	if err != nil || droplet == 0 {
		return false, nil, f.hintAt(err)
	}
	err = f.call(ctx, opRead, func(ctx context.Context) error {
		beside = nil
		page := &godo.ListOptions{PerPage: 200}
		firewalls, _, err := f.client.Firewalls.ListByDroplet(ctx, droplet, page)
		for _, fw := range firewalls {
			if toMark(fw.Name) != "" {
				continue
			}
			for _, r := range fw.InboundRules {
				told, err := toRules(r, "")
				if err != nil {
					return err
				}
				beside = append(beside, told...)
			}
		}
		return err
	})
	return true, beside, err
}

// aDroplet returns the id of a Droplet that has the firewall, or 0.
func (f *Firewall) aDroplet(ctx context.Context) (int, error) {
	// What the token may not see is left out of answers without a word.
	for _, see := range []func(context.Context) error{f.seeDroplets, f.seeTags} {
		if err := see(ctx); err != nil {
			return 0, err
		}
	}
	fw, err := f.getOurs(ctx)
	if err != nil {
		return 0, err
	}
	ids := fw.DropletIDs
	for _, tag := range fw.Tags {
		err := f.call(ctx, opDroplets, func(ctx context.Context) error {
			droplets, _, err := f.client.Droplets.ListByTag(ctx, tag, &godo.ListOptions{PerPage: 1})
			for _, d := range droplets {
				ids = append(ids, d.ID)
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	if len(ids) == 0 {
		return 0, nil
	}
	return ids[0], nil
}

// hintAt says that the scopes are none of those that are needed.
func (f *Firewall) hintAt(err error) error {
	if e, ok := errors.AsType[*portsnare.Error](err); ok && statusOf(err) == http.StatusForbidden {
		e.Hint = hintSeeing
	}
	return err
}
