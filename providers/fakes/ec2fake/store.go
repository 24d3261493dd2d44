package ec2fake

import (
	"fmt"
	"maps"
	"net/netip"
	"sync"

	"github.com/portsnare/portsnare/providers/fakes/fakeapi"
)

// A group is a security group at one moment.
type group struct {
	id, name string
	egress   Rule
	rules    []Rule // inbound, by id; a change makes a new slice
}

// store is the security groups of one region.
type store struct {
	region string
	limit  int // inbound rules of a group, for each IP family

	// writing is held through a change and its onChange, so that the latter
	// sees the changes in their order.
	writing sync.Mutex

	mu         sync.Mutex // guards what follows
	groups     map[string]group
	lastGroup  int
	lastRule   int
	interfaces [][]string                     // the ids of the groups that each bears
	past       fakeapi.Past[map[string]group] // what describe calls see
	onChange   func(groupID string, rules []Rule) error
}

func newStore(region string, limit int) *store {
	return &store{region: region, limit: limit, groups: map[string]group{}}
}

func (s *store) nextRuleID() string {
	s.lastRule++
	return fmt.Sprintf("sgr-%017x", s.lastRule)
}

func (s *store) create(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastGroup++
	g := group{id: fmt.Sprintf("sg-%017x", s.lastGroup), name: name}
	g.egress = Rule{
		ID: s.nextRuleID(), GroupID: g.id,
		Protocol: "-1", FromPort: -1, ToPort: -1,
		CIDR: netip.MustParsePrefix("0.0.0.0/0"),
	}
	s.groups[g.id] = g
	return g.id
}

func (s *store) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, id)
}

func (s *store) rules(id string) []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cloneRules(s.groups[id].rules)
}

// view is what a describe call sees.
func (s *store) view() map[string]group {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.past.Count()
	return s.past.Look(maps.Clone(s.groups))
}

func (s *store) freeze(calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past.Freeze(maps.Clone(s.groups), calls)
}

func (s *store) thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past.Thaw()
}

func (s *store) setOnChange(f func(string, []Rule) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onChange = f
}

// A write says which group a change is for, and whether it is only a trial.
type write struct {
	groupID string
	dryRun  bool
}

// change replaces the inbound rules of a group by what edit makes of them, and
// tells onChange. It reports whether the change was made, which it also is when
// onChange failed. edit runs under s.mu, must not alter g.rules in place, and
// its error leaves everything as it was.
func (s *store) change(w write, edit func(g group) ([]Rule, error)) (committed bool, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	rules, onChange, err := s.commit(w, edit)
	if err != nil {
		return false, err
	}
	if onChange == nil {
		return true, nil
	}
	if err := onChange(w.groupID, cloneRules(rules)); err != nil {
		return true, notApplied(err)
	}
	return true, nil
}

func (s *store) commit(w write, edit func(g group) ([]Rule, error)) ([]Rule, func(string, []Rule) error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.groups[w.groupID]
	if !ok {
		return nil, nil, groupNotFound(w.groupID)
	}
	if w.dryRun {
		return nil, nil, errDryRun
	}
	rules, err := edit(g)
	if err != nil {
		return nil, nil, err
	}
	g.rules = rules
	s.groups[g.id] = g
	return rules, s.onChange, nil
}

// resolve checks the drafts of one call: each by itself, that the groups they
// name exist, and that no two are the same.
func (s *store) resolve(drafts []draft) ([]Rule, error) {
	var rules []Rule
	for _, d := range drafts {
		r, err := d.rule()
		if err != nil {
			return nil, err
		}
		if id := r.ReferencedGroupID; id != "" {
			if _, ok := s.groups[id]; !ok {
				return nil, groupNotFound(id)
			}
		}
		if indexOfIdentity(rules, r.identity()) >= 0 {
			return nil, errTwice
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func (s *store) checkLimit(rules []Rule) error {
	var v4, v6 int
	for _, r := range rules {
		a, b := r.families()
		v4, v6 = v4+a, v6+b
	}
	if v4 > s.limit || v6 > s.limit {
		return errRuleLimit
	}
	return nil
}
