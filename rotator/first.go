package rotator

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/portsnare/portsnare"
)

// placed returns an error if the state is of the first version and the firewall
// holds nothing of it. The group may have got another firewall with the upgrade, and
// then its traps are open in one that nobody knows. The hosts keep them armed.
func (r *Rotator) placed(s *state, now standing) error {
	if !s.Unplaced || !r.group.CloudFirewall {
		return nil
	}
	if !s.traps().Ports().Empty() && len(now.ours) == 0 {
		return &portsnare.Error{
			Kind: portsnare.Invalid, Op: "find the traps of", Subject: "group " + r.group.Name,
			Err: errors.New("the first version has opened some, and none is in " + r.group.Where.Firewall),
			Hint: "if `firewall` was changed with the upgrade, put the former one back and start the controller once, so that it closes what has the mark " +
				string(r.group.FirstMark()) + "; if it was not, or nothing is left there, run `portsnare rotate " + r.group.Name + "`",
		}
	}
	s.Unplaced = false
	return nil
}

// Archive is a store that can be searched, and the orders that hosts were sent.
type Archive interface {
	Store
	// Keys returns every key that was put.
	Keys() []string
	// Order returns the order that is stored for a host, or an error of kind NotFound.
	Order(ctx context.Context, host string) (portsnare.Order, error)
}

// Unknown is where a group has its traps of which the first version has left a state
// and nobody knows the firewall.
var Unknown = Where{Kind: "unknown", Firewall: "unknown"}

// Unplaced returns the place of each group of the first version that is in none of
// groups and in none of places, with those of hosts that have an order of it. Such a
// group was renamed or removed with the upgrade. Where it had its firewall is Unknown
// until [Placed] says so.
func Unplaced(ctx context.Context, archive Archive, hosts []string, places []Place, groups []Group) (lost []Place, err error) {
	for _, key := range archive.Keys() {
		name, isGroup := strings.CutPrefix(key, stateKey(""))
		if !isGroup || slices.ContainsFunc(groups, func(g Group) bool { return g.Name == name }) {
			continue
		}
		s, err := loadState(ctx, archive, key)
		if err != nil {
			return nil, err
		}
		switch {
		case !s.Unplaced || s.traps().Ports().Empty():
		case slices.ContainsFunc(places, func(p Place) bool { return p.Group == name }):
			err = settle(ctx, archive, key, &s)
		default:
			p := Place{Where: Unknown, Group: name, Mark: portsnare.Mark(name)}
			err = p.find(ctx, archive, hosts)
			lost = append(lost, p)
		}
		if err != nil {
			return nil, err
		}
	}
	return lost, nil
}

// find has p name those of hosts whose last order is of its group.
func (p *Place) find(ctx context.Context, archive Archive, hosts []string) error {
	for _, host := range hosts {
		order, err := archive.Order(ctx, host)
		if err != nil && !errors.Is(err, portsnare.NotFound) {
			return err
		}
		if err == nil && order.Group == p.Group {
			p.Hosts = append(p.Hosts, host)
			p.Protected, p.Public = p.Protected.Union(order.Protected), p.Public.Union(order.Public)
		}
	}
	return nil
}

// Placed has the store know where an unplaced group has its traps.
func Placed(ctx context.Context, store Store, p Place) error {
	places, revision, err := loadPlaces(ctx, store)
	if err != nil && !errors.Is(err, errDamaged) {
		return err
	}
	if err := putPlaces(ctx, store, append(places, p), revision); err != nil {
		return err
	}
	s, err := loadState(ctx, store, stateKey(p.Group))
	if err != nil {
		return err
	}
	return settle(ctx, store, stateKey(p.Group), &s)
}

// settle notes that the place of a state is known.
func settle(ctx context.Context, store Store, key string, s *state) error {
	s.Unplaced = false
	return saveState(ctx, store, key, s)
}
