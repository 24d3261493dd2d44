package rotator

import (
	"context"
	"errors"
	"slices"

	"github.com/portsnare/portsnare"
)

// Where says which cloud firewall.
type Where struct {
	Kind     string `json:"kind"`     // of provider, such as "aws"
	Provider string `json:"provider"` // its name in the configuration
	Region   string `json:"region,omitempty"`
	Firewall string `json:"firewall"` // the provider's own id
}

// Same reports whether both are one firewall. The name of the provider does not
// matter, since an operator may change it; ids are unique within a kind.
func (w Where) Same(other Where) bool { return w.Kind == other.Kind && w.Firewall == other.Firewall }

// Place is a firewall, a mark under which it may hold openings of ours, and the
// hosts behind it. The store keeps every place from before its first opening until
// nothing of ours is left there, whatever becomes of the configuration.
type Place struct {
	Where
	Mark      portsnare.Mark    `json:"mark"`
	Group     string            `json:"group"`
	Hosts     []string          `json:"hosts"`
	Protected portsnare.PortSet `json:"protected"` // public ports included
	Public    portsnare.PortSet `json:"public"`
	// Leaving are those of Hosts that are no longer in the group, and Left is what
	// was open when they left and has not been closed since. They keep the group's
	// traps until Left is empty.
	Leaving []string          `json:"leaving,omitempty"`
	Left    portsnare.PortSet `json:"left,omitzero"`
}

// is reports whether p and other are one firewall and one mark.
func (p Place) is(other Place) bool { return p.Same(other.Where) && p.Mark == other.Mark }

// concerns reports whether g has to see to it that p is closed: it has a host, the
// name or the firewall of p.
func (p Place) concerns(g Group) bool {
	return p.Group == g.Name || p.Same(g.Where) ||
		slices.ContainsFunc(p.Hosts, func(host string) bool { return slices.Contains(g.Hosts, host) })
}

// placesKey is where the store keeps all places.
const placesKey = "places"

// Places returns every place that may hold openings of ours, those of groups that
// are no longer configured included.
func Places(ctx context.Context, store Store) ([]Place, error) {
	places, _, err := loadPlaces(ctx, store)
	if errors.Is(err, errDamaged) {
		return nil, nil // the first rotator says so, and replaces it
	}
	return places, err
}

// FormerPlaces returns those of places where none of the groups opens traps any
// more and which concern g.
func FormerPlaces(places []Place, groups []Group, g Group) []Place {
	return slices.DeleteFunc(abandoned(places, groups), func(p Place) bool { return !p.concerns(g) })
}

// Leaving returns the hosts that are no longer in g and may still be behind its
// firewall.
func Leaving(places []Place, g Group) []string {
	i := slices.IndexFunc(places, g.Place().is)
	if i < 0 || g.Retired {
		return nil
	}
	return minus(places[i].Hosts, g.Hosts)
}

// RetiredPlaces returns those of places where none of the groups opens traps any
// more, each with those of its hosts that are in no group, unless groups see to
// all of it.
func RetiredPlaces(places []Place, groups []Group) []Place {
	var retired []Place
	for _, p := range abandoned(places, groups) {
		concerned := false
		for _, g := range groups {
			concerned = concerned || p.concerns(g)
			p.Hosts = minus(p.Hosts, g.Hosts)
		}
		if !concerned || len(p.Hosts) > 0 {
			retired = append(retired, p)
		}
	}
	return retired
}

func abandoned(places []Place, groups []Group) []Place {
	return slices.DeleteFunc(slices.Clone(places), func(p Place) bool {
		return slices.ContainsFunc(groups, func(g Group) bool { return p.is(g.Place()) })
	})
}
