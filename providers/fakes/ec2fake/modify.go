package ec2fake

import (
	"maps"
	"slices"
)

// An update is what shall become of one rule.
type update struct {
	ruleID string
	draft  draft
	tags   map[string]string // nil leaves them; the API never sets them
}

func parseModify(p params) operation {
	w := p.write()
	var updates []update
	for _, item := range p.list("SecurityGroupRule") {
		updates = append(updates, update{
			ruleID: item.required("SecurityGroupRuleId"),
			draft:  params{item.form, item.key("SecurityGroupRule")}.ruleRequest(),
		})
	}
	if len(updates) == 0 {
		p.fail(missing("securityGroupRules"))
	}
	return func(s *store) (response, error) {
		committed, err := s.modify(w, updates)
		return response{committed: committed, Return: &committed}, err
	}
}

// modify changes rules in place, all of them or none. Ids stay.
func (s *store) modify(w write, updates []update) (committed bool, err error) {
	return s.change(w, func(g group) ([]Rule, error) {
		var ids []string
		var drafts []draft
		for _, u := range updates {
			ids, drafts = append(ids, u.ruleID), append(drafts, u.draft)
		}
		picked, err := pickByID(g, ids)
		if err != nil {
			return nil, err
		}
		wanted, err := s.resolve(drafts)
		if err != nil {
			return nil, err
		}
		rules := slices.Clone(g.rules)
		for n, i := range picked {
			if err := checkMove(g.rules, i, wanted[n]); err != nil {
				return nil, err
			}
			rules[i] = moved(g.rules[i], wanted[n], updates[n].tags)
		}
		return rules, nil
	})
}

// checkMove refuses what cannot become of rule i. A place taken at the time of
// the call is taken, even if the call frees it: see the package comment.
func checkMove(rules []Rule, i int, to Rule) error {
	if have, want := rules[i].kind(), to.kind(); have != want {
		return invalid("Invalid rule type for security group rule '%s'. You may not specify %s for an existing %s rule.",
			rules[i].ID, want, have)
	}
	if j := indexOfIdentity(rules, to.identity()); j >= 0 && j != i {
		return duplicate(to)
	}
	return nil
}

func moved(from, to Rule, tags map[string]string) Rule {
	to.ID, to.GroupID, to.Tags = from.ID, from.GroupID, from.Tags
	if tags != nil {
		to.Tags = maps.Clone(tags)
	}
	return to
}
