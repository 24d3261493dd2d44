package vultrfake

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/portsnare/portsnare/providers/fakes/fakeapi"
)

// A group is a firewall group at one moment.
type group struct {
	id, description string
	rules           []Rule // by number; a change makes a new slice
	lastNumber      int
	instances       int
}

func (g group) index(number int) int {
	return slices.IndexFunc(g.rules, func(r Rule) bool { return r.Number == number })
}

// store is the firewall groups of one account.
type store struct {
	options Options

	// writing is held through a change and its onChange, so that the latter
	// sees the changes in their order.
	writing sync.Mutex

	mu          sync.Mutex // guards what follows
	groups      map[string]group
	made        int
	past        fakeapi.Past[map[string]group] // what lists show
	frozenUntil time.Time                      // zero is no end
	onChange    func(groupID string, rules []Rule) error
}

func newStore(o Options) *store { return &store{options: o, groups: map[string]group{}} }

func (s *store) create(description string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	id := fmt.Sprintf("00000000-0000-4000-8000-%012x", s.made)
	s.groups[id] = group{id: id, description: description, instances: 1}
	return id
}

func (s *store) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, id)
}

func (s *store) rules(id string) []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.groups[id].rules)
}

func (s *store) detach(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g, ok := s.groups[id]; ok {
		g.instances = 0
		s.groups[id] = g
	}
}

// list returns a group as lists show it; rule one rule as it is.
func (s *store) list(id string) (group, error) {
	g, err := s.count(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past.Count()
	return g, err
}

// count is a list that does not bring the thaw nearer.
func (s *store) count(id string) (group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.frozenUntil.IsZero() && !s.options.Now().Before(s.frozenUntil) {
		s.past.Thaw()
	}
	g, ok := s.groups[id]
	if !ok {
		return group{}, errNoGroup
	}
	if old, ok := s.past.Look(nil)[id]; ok {
		g = old
	}
	return g, nil
}

func (s *store) rule(id string, number int) (Rule, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.groups[id]
	if !ok {
		return Rule{}, errNoGroup
	}
	i := g.index(number)
	if i < 0 {
		return Rule{}, errNoRule
	}
	return g.rules[i], nil
}

func (s *store) freeze(lists int, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past.Freeze(maps.Clone(s.groups), lists)
	s.frozenUntil = until
}

func (s *store) thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past.Thaw()
}

func (s *store) setOnChange(notify func(string, []Rule) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onChange = notify
}

// add adds a rule that was checked. It reports whether a change was made, which
// it also is when onChange failed.
func (s *store) add(id string, r Rule) (made Rule, committed bool, err error) {
	committed, err = s.change(id, func(g *group) error {
		switch {
		case slices.ContainsFunc(g.rules, r.same):
			return errDuplicate
		case len(g.rules) >= s.options.MaxRules:
			return errFull
		}
		r.Number = s.nextNumber(g)
		g.rules = append(slices.Clone(g.rules), r)
		slices.SortFunc(g.rules, func(a, b Rule) int { return a.Number - b.Number })
		made = r
		return nil
	})
	return made, committed, err
}

func (s *store) nextNumber(g *group) int {
	if s.options.ReuseNumbers {
		free := 1
		for g.index(free) >= 0 {
			free++
		}
		return free
	}
	g.lastNumber++
	return g.lastNumber
}

func (s *store) drop(id string, number int) (committed bool, err error) {
	return s.change(id, func(g *group) error {
		i := g.index(number)
		if i < 0 {
			return errNoRule
		}
		g.rules = slices.Delete(slices.Clone(g.rules), i, i+1)
		return nil
	})
}

// change replaces a group by what edit makes of it, and tells onChange. edit
// runs under s.mu, must not alter g.rules in place, and its error leaves
// everything as it was.
func (s *store) change(id string, edit func(g *group) error) (committed bool, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	rules, onChange, err := s.commit(id, edit)
	if err != nil || onChange == nil {
		return err == nil, err
	}
	if err := onChange(id, slices.Clone(rules)); err != nil {
		return true, notApplied(err)
	}
	return true, nil
}

func (s *store) commit(id string, edit func(g *group) error) ([]Rule, func(string, []Rule) error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.groups[id]
	if !ok {
		return nil, nil, errNoGroup
	}
	if err := edit(&g); err != nil {
		return nil, nil, err
	}
	s.groups[id] = g
	return g.rules, s.onChange, nil
}
