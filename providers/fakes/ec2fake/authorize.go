package ec2fake

import (
	"maps"
	"slices"
)

func parseAuthorize(p params) operation {
	w := p.write()
	drafts, tags := p.permissions(), p.ruleTags()
	if len(drafts) == 0 {
		p.fail(missing("ipPermissions"))
	}
	return func(s *store) (response, error) {
		added, committed, err := s.authorize(w, drafts, tags)
		return response{committed: committed, Return: &committed, Rules: s.wireRules(added)}, err
	}
}

// authorize adds rules, all of them or none.
func (s *store) authorize(w write, drafts []draft, tags map[string]string) (added []Rule, committed bool, err error) {
	committed, err = s.change(w, func(g group) ([]Rule, error) {
		added, err = s.resolve(drafts)
		if err != nil {
			return nil, err
		}
		for _, r := range added {
			if indexOfIdentity(g.rules, r.identity()) >= 0 {
				return nil, duplicate(r)
			}
		}
		rules := slices.Concat(g.rules, added)
		if err := s.checkLimit(rules); err != nil {
			return nil, err
		}
		added = rules[len(g.rules):]
		for i := range added {
			added[i].ID, added[i].GroupID, added[i].Tags = s.nextRuleID(), g.id, maps.Clone(tags)
		}
		return rules, nil
	})
	return added, committed, err
}
