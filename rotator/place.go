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

// list is how places are stored. A damaged one counts as lost: what it named is
// still to be seen in the firewalls, as strays.
type list struct {
	Places []Place `json:"places"`
}

func loadPlaces(ctx context.Context, store Store) (places []Place, revision uint64, err error) {
	text, revision, err := store.Get(ctx, placesKey)
	if errors.Is(err, portsnare.NotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, &portsnare.Error{Kind: portsnare.KindOf(err), Op: "load", Subject: "the list of firewalls", Err: err}
	}
	var l list
	if err := json.Unmarshal(text, &l); err != nil || !unsealed(text) {
		return nil, revision, errDamaged
	}
	return l.Places, revision, nil
}

// errDamaged says that the stored list of places cannot be trusted.
var errDamaged = &portsnare.Error{
	Kind: portsnare.Invalid, Op: "load", Subject: "the list of firewalls", Err: errors.New("it is damaged"),
	Hint: "if a group was renamed, moved or removed lately, look for openings with its mark in its former firewall",
}

// changePlaces has do change the list of places. Groups share the list, so another
// may have changed it meanwhile: then do gets the newer one.
func (r *Rotator) changePlaces(ctx context.Context, do func([]Place) []Place) error {
	_, err := retry(ctx, func() (struct{}, error) {
		places, revision, err := loadPlaces(ctx, r.store)
		damaged := errors.Is(err, errDamaged)
		if damaged {
			r.log.Warn(msgListRebuilt, keyHint, errDamaged.Hint)
		} else if err != nil {
			return struct{}{}, err
		}
		before, err := json.Marshal(list{places})
		if err != nil {
			return struct{}{}, err
		}
		after, err := json.Marshal(list{do(places)})
		if err == nil && (damaged || string(after) != string(before)) {
			_, err = r.store.Put(ctx, placesKey, sealed(after), revision)
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
	return r.changePlaces(ctx, func(places []Place) []Place {
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
	return r.changePlaces(ctx, func(places []Place) []Place {
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
