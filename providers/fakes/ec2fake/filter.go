package ec2fake

import (
	"slices"
	"strings"
)

// maxFilterValues is the most that one call may carry, over all its filters.
const maxFilterValues = 200

// An accessor reads the field of an item that a filter looks at, if the item
// has it.
type accessor[T any] func(item T) (value string, ok bool)

// readFilters returns the conjunction of a call's filters. field finds the
// accessor for the name of a filter, nil for a name that is not one.
func readFilters[T any](p params, field func(p params, name string, values []string) accessor[T]) func(T) bool {
	var filters []func(T) bool
	total := 0
	for _, item := range p.list("Filter") {
		name, values := item.required("Name"), item.strings("Value")
		total += len(values)
		item.checkFilter(name, values)
		get := field(p, name, values)
		if get == nil {
			p.fail(invalid("The filter '%s' is invalid", name))
		}
		filters = append(filters, func(t T) bool {
			value, ok := get(t)
			return ok && slices.Contains(values, value)
		})
	}
	if total > maxFilterValues {
		p.fail(refuse("FilterLimitExceeded", "The maximum number of filter values specified on a single call is %d", maxFilterValues))
	}
	return func(t T) bool {
		return !slices.ContainsFunc(filters, func(admits func(T) bool) bool { return !admits(t) })
	}
}

func (p params) checkFilter(name string, values []string) {
	if len(values) == 0 {
		p.fail(invalid("The filter '%s' has no value", name))
	}
	for _, v := range values {
		if strings.ContainsAny(v, "*?") {
			p.fail(invalid("The filter '%s' has the value '%s': this endpoint knows no wildcards", name, v))
		}
	}
}

func groupField(_ params, name string, _ []string) accessor[group] {
	switch name {
	case "group-id":
		return func(g group) (string, bool) { return g.id, true }
	case "group-name":
		return func(g group) (string, bool) { return g.name, true }
	case "vpc-id":
		return func(group) (string, bool) { return vpcID, true }
	}
	return nil
}

func ruleField(p params, name string, values []string) accessor[listedRule] {
	switch name {
	case "group-id":
		for _, id := range values {
			if checkGroupID(id) != nil { // verified on AWS: getmoto/moto, test_invalid_security_group_id_in_rules_search
				p.fail(refuse("InvalidGroupId.Malformed", "The security group ID '%s' is malformed", id))
			}
		}
		return func(r listedRule) (string, bool) { return r.GroupID, true }
	case "security-group-rule-id":
		return func(r listedRule) (string, bool) { return r.ID, true }
	}
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		return func(r listedRule) (string, bool) { value, ok := r.Tags[key]; return value, ok }
	}
	return nil
}
