package rotator

import (
	"context"
	"encoding/json"
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
	return places, err
}

// FormerPlaces returns those of places where none of the groups opens traps any
// more and which concern g.
func FormerPlaces(places []Place, groups []Group, g Group) []Place {
	return slices.DeleteFunc(abandoned(places, groups), func(p Place) bool { return !p.concerns(g) })
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
			p.Hosts = slices.DeleteFunc(slices.Clone(p.Hosts), func(host string) bool { return slices.Contains(g.Hosts, host) })
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

func loadPlaces(ctx context.Context, store Store) (places []Place, revision uint64, err error) {
	text, revision, err := store.Get(ctx, placesKey)
	if errors.Is(err, portsnare.NotFound) {
		return nil, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &places)
	}
	if err != nil {
		return nil, 0, &portsnare.Error{Kind: portsnare.KindOf(err), Op: "load", Subject: "the list of firewalls", Err: err}
	}
	return places, revision, nil
}

// changePlaces has do change the list of places. Groups share the list, so another
// may have changed it meanwhile: then do gets the newer one.
func changePlaces(ctx context.Context, store Store, do func([]Place) []Place) error {
	_, err := retry(ctx, func() (struct{}, error) {
		places, revision, err := loadPlaces(ctx, store)
		if err != nil {
			return struct{}{}, err
		}
		before, err := json.Marshal(places)
		if err != nil {
			return struct{}{}, err
		}
		after, err := json.Marshal(do(places))
		if err == nil && string(after) != string(before) {
			_, err = store.Put(ctx, placesKey, after, revision)
		}
		return struct{}{}, err
	})
	return err
}

// remember has the store know where the group opens traps, and of every host
// that is or was behind that firewall.
func (r *Rotator) remember(ctx context.Context) error {
	if !r.group.CloudFirewall || r.group.Retired {
		return nil
	}
	return changePlaces(ctx, r.store, func(places []Place) []Place {
		here := r.group.Place()
		i := slices.IndexFunc(places, here.is)
		if i < 0 {
			return append(places, here)
		}
		here.Hosts = slices.Compact(slices.Sorted(slices.Values(slices.Concat(here.Hosts, places[i].Hosts))))
		places[i] = here
		return places
	})
}

// forget drops the places that the group has left for good, and the hosts that are
// no longer behind its firewall.
func (r *Rotator) forget(ctx context.Context) error {
	if !r.group.CloudFirewall {
		return nil
	}
	var now standing
	if len(r.former) > 0 || r.group.Retired {
		var err error
		if now, err = r.standing(ctx); err != nil {
			return err
		}
	}
	return changePlaces(ctx, r.store, func(places []Place) []Place {
		here := r.group.Place()
		places = slices.DeleteFunc(places, func(p Place) bool {
			gone := slices.ContainsFunc(r.former, func(f Former) bool { return f.is(p) }) || r.group.Retired && p.is(here)
			return gone && !now.holds(p)
		})
		if i := slices.IndexFunc(places, here.is); i >= 0 && !r.group.Retired {
			places[i] = here
		}
		return places
	})
}
