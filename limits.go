package portsnare

// Limits says how many rules a firewall can hold and what its API can do.
type Limits struct {
	Rules     int  `json:"rules"`      // rules the firewall may hold, foreign ones included
	PerFamily bool `json:"per_family"` // Rules counts IPv4 and IPv6 each for itself
	InPlace   bool `json:"in_place"`   // old openings can become new ones one by one, none lost in between
	Folds     bool `json:"folds"`      // one rule takes many sources, of both families
	Whole     bool `json:"whole"`      // each write replaces all rules, so opening first would cost one more
}

// Budget returns how many port ranges may be open to all of the sources at
// once, beside the foreign rules that stand there. It is never negative.
func (l Limits) Budget(foreign []Rule, sources ...Source) int {
	if len(sources) == 0 {
		return 0
	}
	if l.Folds {
		return max(0, l.Rules-count(foreign))
	}
	if !l.PerFamily {
		return max(0, l.Rules-count(foreign)) / len(sources)
	}
	budget := l.Rules
	for _, bits := range []int{32, 128} {
		each := 0 // rules that one range costs in this family
		for _, s := range sources {
			if s.Addr().BitLen() == bits {
				each++
			}
		}
		if each > 0 {
			budget = min(budget, max(0, l.Rules-countFamily(foreign, bits))/each)
		}
	}
	return budget
}

// Used returns how many of Rules the given rules are: of the fuller IP family
// where each counts for itself.
func (l Limits) Used(rules []Rule) int {
	if l.PerFamily {
		return max(countFamily(rules, 32), countFamily(rules, 128))
	}
	return count(rules)
}

// countFamily counts the rules of one family; a rule without a prefix counts
// in both (https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html,
// checked 2026-11-21).
func countFamily(rules []Rule, bits int) int {
	var family []Rule
	for _, r := range rules {
		if !r.Opening.Source.IsValid() || r.Opening.Source.Addr().BitLen() == bits {
			family = append(family, r)
		}
	}
	return count(family)
}

// count counts several Rules with one ID once.
func count(rules []Rule) int {
	n := 0
	seen := make(map[string]bool, len(rules))
	for _, r := range rules {
		if r.ID == "" || !seen[r.ID] {
			n++
		}
		seen[r.ID] = true
	}
	return n
}
