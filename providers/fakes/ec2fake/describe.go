package ec2fake

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
)

func parseDescribeGroups(p params) operation {
	dryRun, ids := p.boolean("DryRun"), p.strings("GroupId")
	page := p.page("GroupId", len(ids) > 0)
	admits := readFilters(p, groupField)
	for _, id := range ids {
		if err := checkGroupID(id); err != nil {
			p.fail(err)
		}
	}
	return func(s *store) (response, error) {
		if dryRun {
			return response{}, errDryRun
		}
		groups := sortedGroups(s.view())
		for _, id := range ids {
			if !slices.ContainsFunc(groups, func(g group) bool { return g.id == id }) {
				return response{}, groupNotFound(id)
			}
		}
		groups = slices.DeleteFunc(groups, func(g group) bool {
			return len(ids) > 0 && !slices.Contains(ids, g.id) || !admits(g)
		})
		groups, next := cut(page, groups, func(g group) string { return g.id })
		return response{Groups: s.wireGroups(groups), NextToken: next}, nil
	}
}

// A listed rule is one of either direction.
type listedRule struct {
	Rule
	egress bool
}

func parseDescribeRules(p params) operation {
	dryRun, ids := p.boolean("DryRun"), p.strings("SecurityGroupRuleId")
	page := p.page("SecurityGroupRuleId", len(ids) > 0)
	admits := readFilters(p, ruleField)
	for _, id := range ids {
		if err := checkRuleID(id); err != nil {
			p.fail(err)
		}
	}
	return func(s *store) (response, error) {
		if dryRun {
			return response{}, errDryRun
		}
		rules := listRules(s.view())
		for _, id := range ids {
			if !slices.ContainsFunc(rules, func(r listedRule) bool { return r.ID == id }) {
				return response{}, ruleNotFound(id)
			}
		}
		rules = slices.DeleteFunc(rules, func(r listedRule) bool {
			return len(ids) > 0 && !slices.Contains(ids, r.ID) || !admits(r)
		})
		rules, next := cut(page, rules, func(r listedRule) string { return r.ID })
		return response{Rules: s.wireListed(rules), NextToken: next}, nil
	}
}

func sortedGroups(view map[string]group) []group {
	return slices.SortedFunc(maps.Values(view), func(a, b group) int { return strings.Compare(a.id, b.id) })
}

func listRules(view map[string]group) []listedRule {
	var rules []listedRule
	for _, g := range view {
		rules = append(rules, listedRule{g.egress, true})
		for _, r := range g.rules {
			rules = append(rules, listedRule{r, false})
		}
	}
	slices.SortFunc(rules, func(a, b listedRule) int { return strings.Compare(a.ID, b.ID) })
	return rules
}

// paging is which part of a listing is wanted.
type paging struct {
	after string // id of the last item of the page before, "" at the start
	max   int    // items, 0 for all
}

// page reads MaxResults (5 to 1000) and NextToken. idList is the parameter that
// names items, which excludes paging.
func (p params) page(idList string, hasIDs bool) paging {
	var page paging
	if token := p.str("NextToken"); token != "" {
		after, err := base64.URLEncoding.DecodeString(token)
		page.after = string(after)
		if err != nil || checkGroupID(page.after) != nil && checkRuleID(page.after) != nil {
			p.fail(refuse("InvalidNextToken", "The token '%s' is invalid", token))
		}
	}
	n := p.integer("MaxResults")
	if n == nil {
		return page
	}
	page.max = *n
	switch {
	case hasIDs:
		p.fail(refuse("InvalidParameterCombination", "The parameter %s cannot be used with the parameter maxResults", idList))
	case page.max < 5:
		p.fail(invalid("Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than 5.", page.max))
	case page.max > 1000:
		p.fail(invalid("Value ( %d ) for parameter maxResults is invalid. Expecting a value smaller than 1000.", page.max))
	}
	return page
}

// cut returns one page of items, which are sorted by id, and the token of the
// next. Items that come and go between two pages shift no other.
func cut[T any](page paging, items []T, id func(T) string) ([]T, string) {
	start := slices.IndexFunc(items, func(item T) bool { return id(item) > page.after })
	if start < 0 {
		return nil, ""
	}
	items = items[start:]
	if page.max == 0 || len(items) <= page.max {
		return items, ""
	}
	items = items[:page.max]
	return items, base64.URLEncoding.EncodeToString([]byte(id(items[page.max-1])))
}
