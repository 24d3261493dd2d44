package ec2fake

import (
	"slices"
	"strings"
)

func parseRevoke(p params) operation {
	w := p.write()
	ids, drafts := p.strings("SecurityGroupRuleId"), p.permissions()
	switch {
	case len(ids) == 0 && len(drafts) == 0:
		p.fail(missing("ipPermissions or securityGroupRuleId"))
	case len(ids) > 0 && len(drafts) > 0:
		p.fail(refuse("InvalidParameterCombination",
			"The parameter securityGroupRuleId cannot be used with the parameter ipPermissions"))
	}
	return func(s *store) (response, error) {
		pick := func(g group) ([]int, error) { return pickByID(g, ids) }
		if len(drafts) > 0 {
			pick = func(g group) ([]int, error) { return s.pickByPermission(g, drafts) }
		}
		revoked, committed, err := s.revoke(w, pick)
		return response{committed: committed, Return: &committed, Revoked: s.wireRevoked(revoked)}, err
	}
}

// revoke removes the rules that pick names by their indexes, all or none.
func (s *store) revoke(w write, pick func(group) ([]int, error)) (revoked []Rule, committed bool, err error) {
	committed, err = s.change(w, func(g group) ([]Rule, error) {
		picked, err := pick(g)
		if err != nil {
			return nil, err
		}
		var kept []Rule
		for i, r := range g.rules {
			if slices.Contains(picked, i) {
				revoked = append(revoked, r)
			} else {
				kept = append(kept, r)
			}
		}
		return kept, nil
	})
	return revoked, committed, err
}

func pickByID(g group, ids []string) ([]int, error) {
	var picked []int
	for _, id := range ids {
		i, err := findRule(g, id)
		if err != nil {
			return nil, err
		}
		if slices.Contains(picked, i) {
			return nil, ruleIDTwice(id)
		}
		picked = append(picked, i)
	}
	return picked, nil
}

// pickByPermission is the behaviour of a VPC that is not the default one.
// Description is no part of what is compared.
func (s *store) pickByPermission(g group, drafts []draft) ([]int, error) {
	rules, err := s.resolve(drafts)
	if err != nil {
		return nil, err
	}
	var picked []int
	for _, r := range rules {
		i := indexOfIdentity(g.rules, r.identity())
		if i < 0 {
			return nil, errPermissionNotFound
		}
		picked = append(picked, i)
	}
	return picked, nil
}

// findRule returns the index of an inbound rule of g.
func findRule(g group, id string) (int, error) {
	if err := checkRuleID(id); err != nil {
		return 0, err
	}
	i := indexOfID(g.rules, id)
	if i < 0 {
		return 0, ruleNotFound(id)
	}
	return i, nil
}

// checkRuleID: AWS calls a short id such as sgr-00000000 absent, not malformed
// (verified on AWS: getmoto/moto, test_modify_security_group_rules).
func checkRuleID(id string) error {
	suffix, ok := strings.CutPrefix(id, "sgr-")
	if !ok || suffix == "" || len(suffix) > 17 {
		return ruleMalformed(id)
	}
	return nil
}
