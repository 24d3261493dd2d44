package rotator

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/portsnare/portsnare"
)

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
		changed := do(places)
		after, err := json.Marshal(list{changed})
		if err == nil && (damaged || string(after) != string(before)) {
			err = putPlaces(ctx, r.store, changed, revision)
		}
		return struct{}{}, err
	})
	return err
}

func putPlaces(ctx context.Context, store Store, places []Place, revision uint64) error {
	text, err := json.Marshal(list{places})
	if err == nil {
		_, err = store.Put(ctx, placesKey, sealed(text), revision)
	}
	return err
}

// remember has the store know where the group opens traps, and of every host
// that is or was behind that firewall.
func (r *Rotator) remember(ctx context.Context, s *state, now standing) error {
	if !r.group.CloudFirewall || r.group.Retired {
		return nil
	}
	return r.changePlaces(ctx, func(places []Place) []Place {
		here := r.group.Place()
		i := slices.IndexFunc(places, here.is)
		if i < 0 {
			places, i = append(places, here), len(places)
		}
		here.Hosts = union(here.Hosts, places[i].Hosts, r.leaving)
		here.Leaving, here.Left = minus(here.Hosts, r.group.Hosts), places[i].Left
		if len(minus(here.Leaving, places[i].Leaving)) > 0 { // some have left since
			here.Left = here.Left.Union(portsnare.OpenPorts(now.ours)).Union(s.traps().Ports())
		}
		r.left = here.Left
		places[i] = here
		return places
	})
}

// forget drops the places that the group has left for good, and releases the hosts
// that have left the group, once all that was open then has been closed.
func (r *Rotator) forget(ctx context.Context, s *state) error {
	if !r.group.CloudFirewall {
		return nil
	}
	var now standing
	if len(r.former)+len(r.leaving) > 0 || r.group.Retired {
		var err error
		if now, err = r.standing(ctx); err != nil {
			return err
		}
	}
	if err := r.release(ctx, s, now); err != nil {
		return err
	}
	return r.changePlaces(ctx, func(places []Place) []Place {
		places = r.leavePlaces(places, now)
		here := r.group.Place()
		if i := slices.IndexFunc(places, here.is); i >= 0 && !r.group.Retired {
			here.Hosts = union(here.Hosts, r.leaving)
			here.Leaving, here.Left = r.leaving, r.left
			places[i] = here
		}
		return places
	})
}

// release takes the group's traps from the hosts that have left it, if all that was
// open when they left has been closed.
func (r *Rotator) release(ctx context.Context, s *state, now standing) error {
	r.left = r.left.Intersect(portsnare.OpenPorts(now.ours).Union(s.traps().Ports()))
	if len(r.leaving) == 0 || !r.left.Empty() {
		return nil
	}
	if err := r.fleet.Release(ctx, r.leaving); err != nil {
		return err
	}
	r.log.Info(msgReleased, keyHosts, r.leaving)
	r.setLeaving(nil)
	return nil
}

// leavePlaces takes the group's hosts out of the former places where nothing is
// left. A place with hosts in no group is left to the withdrawal of its group,
// which disarms them.
func (r *Rotator) leavePlaces(places []Place, now standing) []Place {
	var kept []Place
	for _, p := range places {
		if now.holds(p) {
			kept = append(kept, p)
			continue
		}
		retired := r.group.Retired && p.is(r.group.Place())
		former := slices.ContainsFunc(r.former, func(f Former) bool { return f.is(p) })
		if former {
			p.Hosts = minus(p.Hosts, r.group.Hosts)
		}
		if gone := retired || former && len(p.Hosts) == 0; !gone {
			kept = append(kept, p)
		}
	}
	return kept
}

// inherited returns the traps of the groups whose former places are this group's to
// close. A call that their controller has begun may still open some of them, so what
// the firewalls hold now is not enough. A state that cannot be read names none.
func (r *Rotator) inherited(ctx context.Context) (traps portsnare.Traps) {
	var groups []string
	if r.group.Retired {
		groups = []string{r.group.Name}
	}
	for _, f := range r.former {
		groups = union(groups, []string{f.Group})
	}
	for _, group := range groups {
		if s, err := loadState(ctx, r.store, stateKey(group)); err == nil && stateKey(group) != r.key {
			traps = traps.Union(s.traps())
		}
	}
	return traps
}

// union returns all names of lists, sorted, and minus those of list that are not
// among others.
func union(lists ...[]string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(lists...))))
}

func minus(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(name string) bool { return slices.Contains(others, name) })
}
